-- Tracking numbers, one row each, with what they brought so far.
-- grain: a tracking number
-- key: account, tracking_number
--
-- Prunes: a filter on account or tracking_number reaches the scan, but there is no time to filter by. A number that was
-- neither called nor leased is not known to the lake. pool is the last one it was leased in or called through. Calls of
-- robots (spam_score from 0.5 on) do not count.
WITH uses AS (
    SELECT
        c.account,
        c.tracking_number,
        c.started_at AS at,
        c.pool,
        1 AS calls,
        CASE WHEN c.outcome = 'answered' THEN 1 ELSE 0 END AS answered,
        CASE WHEN c.is_target THEN 1 ELSE 0 END AS target_calls,
        CASE WHEN c.is_unique THEN 1 ELSE 0 END AS unique_calls,
        CASE WHEN c.session_id IS NULL THEN 0 ELSE 1 END AS joined,
        0 AS leases,
        c.started_at AS called_at,
        c.attribution_method = 'static' AS is_static
    FROM public.calls AS c
    WHERE c.direction <> 'outbound' AND coalesce(c.spam_score, 0.0) < 0.5
    UNION ALL
    SELECT
        l.account,
        l.number AS tracking_number,
        l.granted_at AS at,
        l.pool,
        0 AS calls,
        0 AS answered,
        0 AS target_calls,
        0 AS unique_calls,
        0 AS joined,
        1 AS leases,
        NULL AS called_at,
        FALSE AS is_static
    FROM public.leases AS l
),

pooled AS (
    SELECT
        u.*,
        max(CASE WHEN u.pool IS NOT NULL THEN u.at END) OVER (PARTITION BY u.account, u.tracking_number) AS pooled_at
    FROM uses AS u
)

SELECT
    p.account,
    p.tracking_number,
    max(CASE WHEN p.at = p.pooled_at THEN p.pool END) AS pool,
    CASE
        WHEN max(p.pool) IS NOT NULL THEN 'dynamic'
        WHEN max(CASE WHEN p.is_static THEN 1 ELSE 0 END) = 1 THEN 'static'
        ELSE 'other'
    END AS number_kind,
    sum(p.calls) AS calls,
    sum(p.joined) AS joined,
    sum(p.unique_calls) AS unique_calls,
    sum(p.target_calls) AS target_calls,
    sum(p.answered) AS answered,
    sum(p.leases) AS leases,
    min(p.called_at) AS first_call_at,
    max(p.called_at) AS last_call_at,
    max(p.at) AS last_used_at
FROM pooled AS p
WHERE p.tracking_number IS NOT NULL
GROUP BY p.account, p.tracking_number
