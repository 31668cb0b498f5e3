-- Notes on calls, one row each, as they came.
-- key: account, event_source, event_id
SELECT
    h.account,        -- text
    h.time,           -- timestamp
    h.event_id,       -- text
    h.event_source,   -- text
    h.call_id,        -- text
    h.status,         -- text
    h.comment,        -- text
    h.by,             -- text
    h.recorded_time,  -- timestamp
    h.date            -- date
FROM history.notes AS h
