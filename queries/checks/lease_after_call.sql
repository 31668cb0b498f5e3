-- Calls that were joined by a lease that was granted after they began.
SELECT c.account, c.call_id, c.started_at, c.attribution_method, l.lease_id, l.granted_at
FROM calls AS c
INNER JOIN leases AS l ON l.account = c.account AND l.lease_id = c.lease_id
WHERE l.granted_at > c.started_at
