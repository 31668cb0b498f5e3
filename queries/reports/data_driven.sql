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
-- the sum of all channels, and credited are the calls with a visitor, shared out by it.
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
        journey,
        channel,
        ends_in,
        lag(channel) OVER (PARTITION BY journey ORDER BY place) AS before,
        lead(channel) OVER (PARTITION BY journey ORDER BY place) AS after
    FROM visits
),

moves AS (
    SELECT coalesce(before, '(start)') AS from_state, channel AS to_state FROM ordered
    UNION ALL
    SELECT channel AS from_state, ends_in AS to_state FROM ordered WHERE after IS NULL
),

counted AS (
    SELECT from_state, to_state, CAST(count(*) AS DOUBLE) AS moves FROM moves GROUP BY from_state, to_state
),

effects AS (
    SELECT unnest(e.effects) AS effect
    FROM (
        SELECT removal_effects(array_agg(named_struct('from', c.from_state, 'to', c.to_state, 'times', c.moves))) AS effects
        FROM counted AS c
    ) AS e
),

named AS (
    SELECT effect['state'] AS channel, effect['removal'] AS lost FROM effects
)

SELECT
    n.channel,
    round(n.lost, 4) AS removal,
    round(n.lost / nullif(sum(n.lost) OVER (), 0), 4) AS weight,
    round(n.lost / nullif(sum(n.lost) OVER (), 0) * c.calls, 2) AS credited
FROM named AS n
CROSS JOIN (SELECT count(DISTINCT journey) AS calls FROM visits WHERE ends_in = '(call)') AS c
ORDER BY weight DESC, n.channel
