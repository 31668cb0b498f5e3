-- Events that could not be used, one row each, with their bytes and the reason.
-- key: none (the same bytes may come twice)
SELECT
    h.account,      -- text
    h.date,         -- date
    h.received_at,  -- timestamp
    h.reason,       -- text
    h.path,         -- text
    h.source,       -- text
    h.raw           -- binary
FROM history.rejected AS h
