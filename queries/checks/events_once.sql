-- Events that were written more than once.
SELECT 'page_views' AS table_name, account, event_source, event_id, count(*) AS written
FROM page_views
GROUP BY account, event_source, event_id
HAVING count(*) > 1
UNION ALL
SELECT 'web_events' AS table_name, account, event_source, event_id, count(*) AS written
FROM web_events
GROUP BY account, event_source, event_id
HAVING count(*) > 1
