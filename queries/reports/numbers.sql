-- What does each tracking number bring?
-- base: calls
-- by: account, pool, tracking_number, destination
-- default: pool, tracking_number
-- measure: calls
--
-- Outbound calls are left out. joined counts calls that were joined to a session.
SELECT
    account,
    pool,
    tracking_number,
    destination,
    count(*) AS calls,
    sum(CASE WHEN is_joined THEN 1 ELSE 0 END) AS joined,
    sum(CASE WHEN is_target THEN 1 ELSE 0 END) AS target_calls,
    sum(CASE WHEN is_unique THEN 1 ELSE 0 END) AS unique_calls,
    sum(CASE WHEN is_answered THEN 1 ELSE 0 END) AS answered,
    sum(CASE WHEN is_missed THEN 1 ELSE 0 END) AS missed,
    round(avg(ring_seconds), 1) AS mean_ring_seconds,
    round(avg(CASE WHEN is_answered THEN talk_seconds END), 1) AS mean_talk_seconds,
    max(local_started_at) AS last_call
FROM marts.calls
WHERE direction <> 'outbound'
GROUP BY account, pool, tracking_number, destination
ORDER BY
    calls DESC,
    account ASC NULLS LAST,
    pool ASC NULLS LAST,
    tracking_number ASC NULLS LAST,
    destination ASC NULLS LAST
