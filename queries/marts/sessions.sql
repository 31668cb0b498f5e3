-- Sessions that exist, one row each, with where they came from.
-- grain: a session
-- key: account, session_id
-- time: started_at
--
-- Prunes: a filter on date, started_at or account reaches the scan.
-- local_started_at is the wall clock at the session's start, and day, weekday (0 is Sunday) and hour are read from it:
-- UTC here, the zone of --timezone in a report.
SELECT
    s.*,
    date_part('epoch', s.ended_at) - date_part('epoch', s.started_at) AS duration_seconds,
    CASE WHEN s.visit_number = 1 THEN 'new' WHEN s.visit_number > 1 THEN 'returning' END AS visitor_kind,
    CAST(s.started_at AS TIMESTAMP(6)) AS local_started_at,
    CAST(s.started_at AS DATE) AS day,
    CAST(date_part('dow', s.started_at) AS INTEGER) AS weekday,
    CAST(date_part('hour', s.started_at) AS INTEGER) AS hour
FROM public.sessions AS s
