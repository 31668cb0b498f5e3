-- Calls, one row each, with what they came from and what became of them.
-- grain: a call
-- key: account, call_id
-- time: started_at
--
-- What looks like a robot's call (spam_score from 0.5 on) is left out here, and so of reports. public.calls has it.
-- Prunes: a filter on date, started_at or account reaches the scan. local_started_at is the wall clock at the call's
-- start, and day, weekday (0 is Sunday) and hour are read from it: UTC here, the zone of --timezone in a report.
-- missed_step is where a call that nobody took was lost, the first that fits, and agent is what is left, the agent's
-- fault. number_kind: dynamic is a number of a pool, static one with a source of its own.
SELECT
    c.*,
    c.session_id IS NOT NULL AS is_joined,
    coalesce(c.outcome = 'answered', FALSE) AS is_answered,
    c.direction <> 'outbound'
    AND coalesce(
        c.outcome IN ('missed', 'abandoned_greeting', 'abandoned_menu', 'busy', 'voicemail', 'failed', 'callback_agent_missed'),
        FALSE
    ) AS is_missed,
    coalesce(c.is_target OR c.is_repeated, FALSE) AS is_qualified,
    CASE
        WHEN c.outcome IS NULL OR c.outcome = 'answered' THEN NULL
        WHEN c.direction = 'outbound' THEN 'outbound'
        WHEN NOT c.in_business_hours THEN 'out_of_hours'
        WHEN c.outcome = 'abandoned_greeting' THEN 'greeting'
        WHEN c.outcome = 'abandoned_menu' THEN 'menu'
        WHEN c.outcome = 'callback_client_missed' THEN 'client'
        WHEN c.outcome IN ('missed', 'callback_agent_missed') THEN 'agent'
        ELSE c.outcome
    END AS missed_step,
    CASE
        WHEN c.direction = 'outbound' THEN NULL
        WHEN c.attribution_method = 'static' THEN 'static'
        WHEN c.pool IS NOT NULL THEN 'dynamic'
        ELSE 'other'
    END AS number_kind,
    CASE WHEN c.visit_number = 1 THEN 'new' WHEN c.visit_number > 1 THEN 'returning' END AS visitor_kind,
    CAST(c.started_at AS TIMESTAMP(6)) AS local_started_at,
    CAST(c.started_at AS DATE) AS day,
    CAST(date_part('dow', c.started_at) AS INTEGER) AS weekday,
    CAST(date_part('hour', c.started_at) AS INTEGER) AS hour
FROM public.calls AS c
WHERE coalesce(c.spam_score, 0.0) < 0.5
