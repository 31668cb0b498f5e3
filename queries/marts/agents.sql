-- Agents, one row each, with the calls that were put through to them or made by them so far.
-- grain: an agent
-- key: account, agent
--
-- Prunes: a filter on account or agent reaches the scan, but there is no time to filter by. Calls of
-- robots (spam_score from 0.5 on) do not count.
SELECT
    c.account,
    c.agent,
    sum(CASE WHEN c.direction <> 'outbound' THEN 1 ELSE 0 END) AS calls,
    sum(CASE WHEN c.direction <> 'outbound' AND c.outcome = 'answered' THEN 1 ELSE 0 END) AS answered,
    sum(CASE WHEN c.is_target THEN 1 ELSE 0 END) AS target_calls,
    sum(CASE WHEN c.direction = 'outbound' THEN 1 ELSE 0 END) AS outbound_calls,
    sum(c.talk_seconds) AS talk_seconds,
    min(c.started_at) AS first_call_at,
    max(c.started_at) AS last_call_at
FROM public.calls AS c
WHERE c.agent IS NOT NULL AND coalesce(c.spam_score, 0.0) < 0.5
GROUP BY c.account, c.agent
