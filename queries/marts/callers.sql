-- Callers, one row each, with their calls so far, robots aside.
-- grain: a caller
-- key: account, caller
--
-- Prunes: a filter on account or caller reaches the scan, but there is no time to filter by. Anonymous callers are
-- left out, since nobody knows how many they are. visitors are the browsers that their calls were joined to.
SELECT
    c.account,
    c.caller,
    max(c.caller_country) AS caller_country,
    sum(CASE WHEN c.direction <> 'outbound' THEN 1 ELSE 0 END) AS calls,
    sum(CASE WHEN c.direction <> 'outbound' AND c.outcome = 'answered' THEN 1 ELSE 0 END) AS answered,
    sum(CASE WHEN c.is_target THEN 1 ELSE 0 END) AS target_calls,
    sum(CASE WHEN c.is_repeated THEN 1 ELSE 0 END) AS repeated_calls,
    sum(CASE WHEN c.direction = 'outbound' THEN 1 ELSE 0 END) AS outbound_calls,
    sum(c.talk_seconds) AS talk_seconds,
    count(DISTINCT c.visitor_id) AS visitors,
    min(c.started_at) AS first_call_at,
    max(c.started_at) AS last_call_at
FROM public.calls AS c
WHERE c.caller <> 'anonymous' AND coalesce(c.spam_score, 0.0) < 0.5
GROUP BY c.account, c.caller
