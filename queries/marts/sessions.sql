-- Sessions that exist, one row each, with where they came from.
-- grain: a session
-- key: account, session_id
--
-- local_started_at is the wall clock at the session's start: UTC here, the zone of --timezone in a report.
SELECT
    s.*,
    date_part('epoch', s.ended_at) - date_part('epoch', s.started_at) AS duration_seconds,
    CAST(s.started_at AS TIMESTAMP) AS local_started_at
FROM sessions AS s
