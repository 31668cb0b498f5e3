-- How full are the pools of numbers?
-- base: leases
-- by: account, day, pool
-- default: pool
-- measure: most_held
--
-- Leases that were granted in the report's range. lines are the numbers (and extensions) leased in it, as far as the
-- lake knows the pool's size. most_held is how many leases were held at once at most, full_share their ratio: above 1
-- where a number was shared.
WITH changes AS (
    SELECT account, day, pool, lease_id, line, held_seconds, renewals, granted_at AS at, 1 AS change
    FROM marts.leases
    UNION ALL
    SELECT account, day, pool, lease_id, line, held_seconds, renewals, ended_at AS at, -1 AS change
    FROM marts.leases
),

running AS (
    SELECT
        c.*,
        sum(c.change) OVER (
            PARTITION BY c.account, c.pool
            ORDER BY c.at, c.change, c.lease_id
            ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW
        ) AS held
    FROM changes AS c
)

SELECT
    r.account,
    r.day,
    r.pool,
    max(r.held) AS most_held,
    count(DISTINCT r.line) AS lines,
    round(max(r.held) * 1.0 / count(DISTINCT r.line), 4) AS full_share,
    count(*) AS leases,
    sum(r.renewals) AS renewals,
    round(avg(r.held_seconds) / 60.0, 1) AS mean_held_minutes
FROM running AS r
WHERE r.change = 1
GROUP BY r.account, r.day, r.pool
ORDER BY
    r.day,
    most_held DESC,
    r.account ASC NULLS LAST,
    r.pool ASC NULLS LAST
