-- Leases of numbers, one row each: the highest revision.
-- key: account, lease_id
--
-- A row is passed over if a later revision of its key stands anywhere in the table. Only the search for later ones
-- covers the whole of it (and of that, only files that hold a revision above the first, which is 1): what a query asks
-- of the rows themselves, such as a range of dates, reaches the scan. So the answer is right even where a correction
-- moved a row to another date.
SELECT
    h.account,      -- text
    h.granted_at,   -- timestamp
    h.lease_id,     -- text
    h.revision,     -- integer
    h.pool,         -- text
    h.number,       -- text
    h.extension,    -- text
    h.visitor_id,   -- text
    h.session_id,   -- text
    h.expires_at,   -- timestamp
    h.released_at,  -- timestamp
    h.renewals,     -- integer
    h.date          -- date
FROM history.leases AS h
WHERE
    NOT EXISTS (
        SELECT 1
        FROM history.leases AS later
        WHERE
            later.revision > 1
            AND later.revision > h.revision
            AND later.account = h.account
            AND later.lease_id = h.lease_id
    )
