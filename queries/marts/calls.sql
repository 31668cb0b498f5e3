-- Calls, one row each, with what they came from and what became of them.
-- grain: a call
-- key: account, call_id
--
-- local_started_at is the wall clock at the call's start: UTC here, the zone of --timezone in a report.
SELECT
    c.*,
    c.session_id IS NOT NULL AS is_joined,
    coalesce(c.outcome = 'answered', FALSE) AS is_answered,
    c.direction <> 'outbound'
    AND coalesce(
        c.outcome IN ('missed', 'abandoned_greeting', 'abandoned_menu', 'busy', 'voicemail', 'failed', 'callback_agent_missed'),
        FALSE
    ) AS is_missed,
    CAST(c.started_at AS TIMESTAMP) AS local_started_at
FROM calls AS c
