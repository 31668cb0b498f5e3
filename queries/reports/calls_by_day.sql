-- How many calls came each day, and what became of them?
-- base: calls
-- by: channel, source, medium, campaign, tracking_number, pool
-- default:
-- measure: calls
--
-- Outbound calls are left out. Days are local to --timezone.
SELECT
    day,
    channel,
    source,
    medium,
    campaign,
    tracking_number,
    pool,
    count(*) AS calls,
    sum(CASE WHEN is_target THEN 1 ELSE 0 END) AS target_calls,
    sum(CASE WHEN is_unique THEN 1 ELSE 0 END) AS unique_calls,
    sum(CASE WHEN is_answered THEN 1 ELSE 0 END) AS answered,
    sum(CASE WHEN is_missed THEN 1 ELSE 0 END) AS missed,
    sum(CASE WHEN is_joined THEN 1 ELSE 0 END) AS joined,
    round(sum(talk_seconds) / 60.0, 1) AS talk_minutes
FROM marts.calls
WHERE direction <> 'outbound'
GROUP BY day, channel, source, medium, campaign, tracking_number, pool
ORDER BY
    day,
    calls DESC,
    channel ASC NULLS LAST,
    source ASC NULLS LAST,
    medium ASC NULLS LAST,
    campaign ASC NULLS LAST,
    tracking_number ASC NULLS LAST,
    pool ASC NULLS LAST
