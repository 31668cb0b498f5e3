-- Rows that lie in the partition of another day than their time's.
SELECT 'calls' AS table_name, account, call_id AS id, date, started_at AS at
FROM history.calls
WHERE date <> CAST(started_at AS DATE)
UNION ALL
SELECT 'sessions' AS table_name, account, session_id AS id, date, started_at AS at
FROM history.sessions
WHERE date <> CAST(started_at AS DATE)
UNION ALL
SELECT 'leases' AS table_name, account, lease_id AS id, date, granted_at AS at
FROM history.leases
WHERE date <> CAST(granted_at AS DATE)
