-- Which callers were not reached, and did they get through later?
-- base: calls
-- whole: reached
--
-- One row a missed call, newest first. reached_later: a later call from or to this number was answered, among those
-- of the report's range. --where picks the missed calls alone: what reached their callers may be any call.
WITH reached AS (
    SELECT account, caller, max(started_at) AS last_answered_at
    FROM marts.calls
    WHERE is_answered AND caller <> 'anonymous'
    GROUP BY account, caller
)

SELECT
    m.account,
    m.call_id,
    m.local_started_at,
    m.caller,
    m.tracking_number,
    m.outcome,
    m.in_business_hours,
    m.ring_seconds,
    m.source,
    m.medium,
    m.campaign,
    coalesce(r.last_answered_at > m.started_at, FALSE) AS reached_later
FROM marts.calls AS m
LEFT JOIN reached AS r ON r.account = m.account AND r.caller = m.caller
WHERE m.is_missed
ORDER BY m.started_at DESC, m.account, m.call_id
