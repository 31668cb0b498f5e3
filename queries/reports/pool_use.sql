-- How full are the pools of numbers?
-- base: leases
-- by: account, day, pool
-- default: pool
-- measure: most_held
--
-- Leases that were granted in the report's range. lines are the numbers (and extensions) leased in it, as far as the
-- lake knows the pool's size. most_held is how many leases were held at once at most, full_share their ratio: above 1
-- where a number was shared. A lease that was given back at its very grant overlaps no other.
-- What is counted along time carries no more than that: it is sorted.
WITH changes AS (
    SELECT account, day, pool, granted_at AS at, 1 AS change
    FROM marts.leases
    WHERE ended_at > granted_at
    UNION ALL
    SELECT account, day, pool, ended_at AS at, -1 AS change
    FROM marts.leases
    WHERE ended_at > granted_at
),

running AS (
    SELECT
        c.account,
        c.day,
        c.pool,
        c.change,
        -- At one instant what ends goes first: a number that changes hands is not held twice.
        sum(c.change) OVER (
            PARTITION BY c.account, c.pool
            ORDER BY c.at, c.change
            ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW
        ) AS held
    FROM changes AS c
),

parts AS (
    SELECT account, day, pool, held, CAST(NULL AS TEXT) AS line, 0 AS renewals, CAST(NULL AS DOUBLE) AS held_seconds, 0 AS leases
    FROM running
    WHERE change = 1
    UNION ALL
    -- Whatever else was held, each lease was.
    SELECT account, day, pool, 1 AS held, line, renewals, held_seconds, 1 AS leases
    FROM marts.leases
)

SELECT
    r.account,
    r.day,
    r.pool,
    max(r.held) AS most_held,
    count(DISTINCT r.line) AS lines,
    round(max(r.held) * 1.0 / count(DISTINCT r.line), 4) AS full_share,
    sum(r.leases) AS leases,
    sum(r.renewals) AS renewals,
    round(avg(r.held_seconds) / 60.0, 1) AS mean_held_minutes
FROM parts AS r
GROUP BY r.account, r.day, r.pool
ORDER BY
    r.day,
    most_held DESC,
    r.account ASC NULLS LAST,
    r.pool ASC NULLS LAST
