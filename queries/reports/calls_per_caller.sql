-- How many callers call once, twice and more often?
-- base: calls
-- measure: callers
-- only: caller <> 'anonymous'
--
-- Outbound and anonymous calls are left out.
SELECT
    c.calls,
    count(*) AS callers,
    round(count(*) * 1.0 / sum(count(*)) OVER (), 4) AS share,
    sum(c.calls) AS calls_of_them,
    sum(c.target_calls) AS target_calls
FROM (
    SELECT account, caller, count(*) AS calls, sum(CASE WHEN is_target THEN 1 ELSE 0 END) AS target_calls
    FROM marts.calls
    WHERE direction <> 'outbound' AND caller <> 'anonymous'
    GROUP BY account, caller
) AS c
GROUP BY c.calls
ORDER BY c.calls
