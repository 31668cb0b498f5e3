-- Pools of numbers, one row each, with what they held and brought so far.
-- grain: a pool
-- key: account, pool
--
-- Prunes: a filter on account or pool reaches the scan, but there is no time to filter by. lines are the numbers and
-- extensions that were ever leased, as far as the lake knows the pool's size. Calls of robots (spam_score from 0.5
-- on) do not count.
SELECT
    u.account,
    u.pool,
    count(DISTINCT u.number) AS numbers,
    count(DISTINCT u.line) AS lines,
    sum(u.leases) AS leases,
    sum(u.renewals) AS renewals,
    sum(u.calls) AS calls,
    sum(u.joined) AS joined,
    sum(u.target_calls) AS target_calls,
    min(CASE WHEN u.leases = 1 THEN u.at END) AS first_lease_at,
    max(CASE WHEN u.leases = 1 THEN u.at END) AS last_lease_at,
    max(CASE WHEN u.calls = 1 THEN u.at END) AS last_call_at
FROM (
    SELECT
        l.account,
        l.pool,
        l.number,
        CASE WHEN l.extension IS NULL THEN l.number ELSE concat(l.number, ',', l.extension) END AS line,
        1 AS leases,
        l.renewals,
        0 AS calls,
        0 AS joined,
        0 AS target_calls,
        l.granted_at AS at
    FROM public.leases AS l
    UNION ALL
    SELECT
        c.account,
        c.pool,
        NULL AS number,
        NULL AS line,
        0 AS leases,
        0 AS renewals,
        1 AS calls,
        CASE WHEN c.session_id IS NULL THEN 0 ELSE 1 END AS joined,
        CASE WHEN c.is_target THEN 1 ELSE 0 END AS target_calls,
        c.started_at AS at
    FROM public.calls AS c
    WHERE c.direction <> 'outbound' AND c.pool IS NOT NULL AND coalesce(c.spam_score, 0.0) < 0.5
) AS u
WHERE u.pool IS NOT NULL
GROUP BY u.account, u.pool
