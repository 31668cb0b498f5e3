-- Which channels would calls not come about without?
-- base: touchpoints, sessions
-- by:
-- default:
-- measure: removal
-- only: visitor_id IS NOT NULL
--
-- A data-driven model of attribution: a Markov chain of the first order over the channels of visits (Anderl and others,
-- 2016). A journey is the visits in the 90 days up to a call, or those of a visitor that no call followed. removal is
-- the share of calls that would be lost if every journey broke off where the channel comes up. weight is its part of
-- the sum of all channels, and credited are the calls with a visit, shared out by it. --from and --to
-- mean calls of those days, with all visits before them, and visits of those days that none of these calls followed: a
-- call behind --to has not come yet. So does --where: with is_target only target calls end a journey, and visits that
-- none of them followed end without one. Visits are picked by what they have without a call, too (channel, device).
WITH visits AS (
    SELECT
        concat('c ', account, ' ', call_id) AS journey,
        position AS place,
        coalesce(channel, '(not known)') AS channel,
        '(call)' AS ends_in
    FROM marts.touchpoints
    UNION ALL
    SELECT
        concat('v ', s.account, ' ', s.visitor_id) AS journey,
        s.visit_number AS place,
        coalesce(s.channel, '(not known)') AS channel,
        '(end)' AS ends_in
    FROM marts.sessions AS s
    WHERE
        NOT EXISTS (
            SELECT 1
            FROM marts.touchpoints AS t
            WHERE t.account = s.account AND t.session_id = s.session_id
        )
),

ordered AS (
    SELECT
        coalesce(lag(channel) OVER journey_of, '(start)') AS before,
        channel,
        ends_in,
        lead(channel) OVER journey_of IS NULL AS is_last
    FROM visits
    WINDOW journey_of AS (PARTITION BY journey ORDER BY place)
),

places AS (
    SELECT before, channel, ends_in, is_last, CAST(count(*) AS DOUBLE) AS visits
    FROM ordered
    GROUP BY before, channel, ends_in, is_last
),

-- Each visit is a move to its channel, and the last one of a journey another to the journey's end.
counted AS (
    SELECT
        CASE WHEN m.part = 1 THEN p.before ELSE p.channel END AS from_state,
        CASE WHEN m.part = 1 THEN p.channel ELSE p.ends_in END AS to_state,
        sum(p.visits) AS moves
    FROM places AS p
    CROSS JOIN (VALUES (1), (2)) AS m (part)
    WHERE m.part = 1 OR p.is_last
    GROUP BY from_state, to_state
),

effects AS (
    SELECT
        unnest(e.effects) AS effect,
        e.calls
    FROM (
        SELECT
            removal_effects(array_agg(named_struct('from', c.from_state, 'to', c.to_state, 'times', c.moves))) AS effects,
            sum(CASE WHEN c.to_state = '(call)' THEN c.moves ELSE 0 END) AS calls
        FROM counted AS c
    ) AS e
),

named AS (
    SELECT effect['state'] AS channel, effect['removal'] AS lost, calls FROM effects
)

SELECT
    n.channel,
    round(n.lost, 4) AS removal,
    round(n.lost / nullif(sum(n.lost) OVER (), 0), 4) AS weight,
    round(n.lost / nullif(sum(n.lost) OVER (), 0) * n.calls, 2) AS credited
FROM named AS n
ORDER BY weight DESC, n.channel
