-- Calls and page views of a session that does not exist, or of another visitor than its own.
--
-- A session is written when it is over, its page views at once. So page views count only where they were a day old when
-- the account's newest one was taken in: by the lesser of its time and the time of receipt, as the watermark goes.
-- An erased call names nobody, and its session somebody where the caller was erased and not the visitor, or where the
-- browser went on.
WITH settled AS (
    SELECT account, max(least(time, coalesce(recorded_time, time))) - INTERVAL '24 hours' AS until
    FROM page_views
    GROUP BY account
)

SELECT 'calls' AS table_name, c.account, c.call_id AS id, c.session_id
FROM calls AS c
LEFT JOIN sessions AS s ON s.account = c.account AND s.session_id = c.session_id
WHERE
    c.session_id IS NOT NULL
    AND (
        (s.session_id IS NULL AND c.session_id NOT LIKE 'erased-%')
        OR (s.visitor_id <> c.visitor_id AND NOT (c.visitor_id LIKE 'erased-%' AND c.caller = 'anonymous'))
    )
UNION ALL
SELECT 'page_views' AS table_name, p.account, p.event_id AS id, p.session_id
FROM page_views AS p
INNER JOIN settled AS d ON d.account = p.account AND p.time < d.until
LEFT JOIN sessions AS s ON s.account = p.account AND s.session_id = p.session_id
WHERE p.session_id IS NOT NULL AND s.session_id IS NULL
