-- Who calls, how often, and since when?
-- base: calls
-- by: account, caller, caller_country, tracking_number
-- default: caller
-- measure: calls
-- only: caller <> 'anonymous'
--
-- Outbound and anonymous calls are left out. Times are local to --timezone.
SELECT
    account,
    caller,
    caller_country,
    tracking_number,
    count(*) AS calls,
    sum(CASE WHEN is_answered THEN 1 ELSE 0 END) AS answered,
    sum(CASE WHEN is_missed THEN 1 ELSE 0 END) AS missed,
    sum(CASE WHEN is_target THEN 1 ELSE 0 END) AS target_calls,
    round(sum(talk_seconds) / 60.0, 1) AS talk_minutes,
    min(local_started_at) AS first_call,
    max(local_started_at) AS last_call
FROM marts.calls
WHERE direction <> 'outbound' AND caller <> 'anonymous'
GROUP BY account, caller, caller_country, tracking_number
ORDER BY
    calls DESC,
    last_call DESC,
    account ASC NULLS LAST,
    caller ASC NULLS LAST,
    caller_country ASC NULLS LAST,
    tracking_number ASC NULLS LAST
