-- How many visitors come back, and call, in the weeks after their first visit?
-- base: sessions, calls
-- by: channel, source, medium, campaign
-- default:
-- measure: visitors
-- only: visitor_id IS NOT NULL
-- whole: doings
--
-- A cohort is the visitors whose first visit ever lies in one week (it begins on Monday, local to --timezone) and in
-- the report's range. visitors are those that came or called in the week, share is of the cohort. The source is that
-- of the first visit. Outbound calls are left out. --where picks the first visits, and whatever their visitors do then
-- counts. Only what is no column of a visit (is_target) picks among their calls.
WITH firsts AS (
    SELECT
        account,
        visitor_id,
        channel,
        source,
        medium,
        campaign,
        day - CAST((weekday + 6) % 7 AS INTEGER) AS week
    FROM marts.sessions
    WHERE visit_number = 1
),

doings AS (
    SELECT account, visitor_id, day - CAST((weekday + 6) % 7 AS INTEGER) AS week, 1 AS sessions, 0 AS calls, 0 AS target_calls
    FROM marts.sessions
    UNION ALL
    SELECT
        account,
        visitor_id,
        day - CAST((weekday + 6) % 7 AS INTEGER) AS week,
        0 AS sessions,
        1 AS calls,
        CASE WHEN is_target THEN 1 ELSE 0 END AS target_calls
    FROM marts.calls
    WHERE direction <> 'outbound' AND visitor_id IS NOT NULL
),

weekly AS (
    SELECT
        account,
        visitor_id,
        week,
        sum(sessions) AS sessions,
        sum(calls) AS calls,
        sum(target_calls) AS target_calls
    FROM doings
    GROUP BY account, visitor_id, week
),

counted AS (
    SELECT
        CAST(f.week AS DATE) AS first_week,
        CAST(round((date_part('epoch', w.week) - date_part('epoch', f.week)) / 604800.0) AS INTEGER) AS weeks_after,
        f.channel,
        f.source,
        f.medium,
        f.campaign,
        count(*) AS visitors,
        sum(w.sessions) AS sessions,
        sum(w.calls) AS calls,
        sum(w.target_calls) AS target_calls
    FROM firsts AS f
    INNER JOIN weekly AS w ON w.account = f.account AND w.visitor_id = f.visitor_id AND w.week >= f.week
    GROUP BY f.week, w.week, f.channel, f.source, f.medium, f.campaign
)

SELECT
    n.first_week,
    n.weeks_after,
    n.channel,
    n.source,
    n.medium,
    n.campaign,
    n.visitors,
    round(
        n.visitors * 1.0
        / max(CASE WHEN n.weeks_after = 0 THEN n.visitors END) OVER (PARTITION BY n.first_week, n.channel, n.source, n.medium, n.campaign),
        4
    ) AS share,
    n.sessions,
    n.calls,
    n.target_calls
FROM counted AS n
ORDER BY
    n.first_week,
    n.channel ASC NULLS LAST,
    n.source ASC NULLS LAST,
    n.medium ASC NULLS LAST,
    n.campaign ASC NULLS LAST,
    n.weeks_after
