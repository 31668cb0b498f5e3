-- Calls, leases and page views of a session that does not exist, or of another visitor than its own.
SELECT 'calls' AS table_name, c.account, c.call_id AS id, c.session_id
FROM calls AS c
LEFT JOIN sessions AS s ON s.account = c.account AND s.session_id = c.session_id
WHERE c.session_id IS NOT NULL AND (s.session_id IS NULL OR s.visitor_id <> c.visitor_id)
UNION ALL
SELECT 'page_views' AS table_name, p.account, p.event_id AS id, p.session_id
FROM page_views AS p
LEFT JOIN sessions AS s ON s.account = p.account AND s.session_id = p.session_id
WHERE p.session_id IS NOT NULL AND s.session_id IS NULL
