-- Calls that end or are answered before they start, or last less than nothing.
SELECT account, call_id, started_at, answered_at, ended_at, ring_seconds, talk_seconds, total_seconds
FROM calls
WHERE
    ended_at < started_at
    OR answered_at < started_at
    OR ended_at < answered_at
    OR ring_seconds < 0
    OR talk_seconds < 0
    OR total_seconds < 0
    OR seconds_to_call < 0
