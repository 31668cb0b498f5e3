-- Calls, sessions and leases of which more than one row counts.
SELECT 'calls' AS table_name, account, call_id AS id, count(*) AS row_count
FROM calls
GROUP BY account, call_id
HAVING count(*) > 1
UNION ALL
SELECT 'sessions' AS table_name, account, session_id AS id, count(*) AS row_count
FROM sessions
GROUP BY account, session_id
HAVING count(*) > 1
UNION ALL
SELECT 'leases' AS table_name, account, lease_id AS id, count(*) AS row_count
FROM leases
GROUP BY account, lease_id
HAVING count(*) > 1
