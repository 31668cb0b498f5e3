-- Calls whose lease is of another number or visitor, or was not held at the time that they say.
--
-- Two visitors may name one session: a lease of the call's own session is right, whichever of them it was granted to.
-- Of a lease that had ended when the call began, the end may have been put off later, so only method lease is held
-- against the end, and every method against the grant. Renewals are written when the lease is over: a call is held
-- against the end only where it was a day old when the account's newest page view was taken in.
-- An erased call names nobody, and its lease somebody where the caller was erased and not the visitor, or another nobody.
WITH settled AS (
    SELECT account, max(least(time, coalesce(recorded_time, time))) - INTERVAL '24 hours' AS until
    FROM page_views
    GROUP BY account
)

SELECT c.account, c.call_id, c.attribution_method, c.started_at, c.lease_id, l.granted_at, l.expires_at, l.released_at
FROM calls AS c
INNER JOIN leases AS l ON l.account = c.account AND l.lease_id = c.lease_id
LEFT JOIN settled AS d ON d.account = c.account
WHERE
    l.granted_at > c.started_at
    OR l.number <> c.tracking_number
    OR (
        l.visitor_id <> c.visitor_id
        AND l.session_id IS DISTINCT FROM c.session_id
        AND NOT (c.visitor_id LIKE 'erased-%' AND c.caller = 'anonymous')
    )
    OR (
        c.attribution_method = 'lease'
        AND c.started_at > least(coalesce(l.released_at, l.expires_at), l.expires_at)
        AND c.started_at < d.until
    )
UNION ALL
SELECT
    c.account,
    c.call_id,
    c.attribution_method,
    c.started_at,
    c.lease_id,
    NULL AS granted_at,
    NULL AS expires_at,
    NULL AS released_at
FROM calls AS c
LEFT JOIN leases AS l ON l.account = c.account AND l.lease_id = c.lease_id
WHERE c.lease_id IS NOT NULL AND l.lease_id IS NULL
