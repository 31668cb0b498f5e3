-- Events that could not be used, one row each, with their bytes and the reason.
-- key: none (the same bytes may come twice)
SELECT
    h.account,      -- text
    h.received_at,  -- timestamp
    h.reason,       -- text
    h.path,         -- text
    h.source,       -- text
    h.raw,          -- binary
    h.date          -- date
FROM history.rejected AS h
