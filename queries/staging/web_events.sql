-- Events of a page other than its view, one row each, as they came.
-- key: account, event_source, event_id
SELECT
    h.account,        -- text
    h.time,           -- timestamp
    h.event_id,       -- text
    h.event_source,   -- text
    h.visitor_id,     -- text
    h.session_id,     -- text
    h.name,           -- text
    h.url,            -- text
    h.number,         -- text
    h.value,          -- decimal(18, 6)
    h.currency,       -- text
    h.properties,     -- text
    h.recorded_time,  -- timestamp
    h.date            -- date
FROM history.web_events AS h
