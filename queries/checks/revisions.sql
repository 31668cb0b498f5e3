-- Revisions that were written twice, or are numbered below 1.
SELECT 'calls' AS table_name, account, call_id AS id, revision, count(*) AS row_count
FROM history.calls
GROUP BY account, call_id, revision
HAVING count(*) > 1 OR revision < 1
UNION ALL
SELECT 'sessions' AS table_name, account, session_id AS id, revision, count(*) AS row_count
FROM history.sessions
GROUP BY account, session_id, revision
HAVING count(*) > 1 OR revision < 1
UNION ALL
SELECT 'leases' AS table_name, account, lease_id AS id, revision, count(*) AS row_count
FROM history.leases
GROUP BY account, lease_id, revision
HAVING count(*) > 1 OR revision < 1
