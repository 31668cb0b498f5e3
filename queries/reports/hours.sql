-- At which hours of the week do people call, and when are they missed?
-- base: calls
-- by: weekday, hour, channel, source, tracking_number
-- default: weekday, hour
-- measure: calls
--
-- Outbound calls are left out. Hours are local to --timezone. weekday 0 is Sunday.
SELECT
    weekday,
    hour,
    channel,
    source,
    tracking_number,
    count(*) AS calls,
    sum(CASE WHEN is_answered THEN 1 ELSE 0 END) AS answered,
    sum(CASE WHEN is_missed THEN 1 ELSE 0 END) AS missed,
    round(avg(ring_seconds), 1) AS mean_ring_seconds
FROM marts.calls
WHERE direction <> 'outbound'
GROUP BY weekday, hour, channel, source, tracking_number
ORDER BY weekday, hour, calls DESC, channel ASC NULLS LAST, source ASC NULLS LAST, tracking_number ASC NULLS LAST
