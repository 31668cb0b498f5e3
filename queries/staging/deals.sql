-- Stages that deals reached, one row each, as they were told.
-- key: account, event_source, event_id
SELECT
    h.account,        -- text
    h.time,           -- timestamp
    h.event_id,       -- text
    h.event_source,   -- text
    h.deal_id,        -- text
    h.call_id,        -- text
    h.visitor_id,     -- text
    h.phone,          -- text
    h.stage,          -- text
    h.revenue,        -- decimal(18, 6)
    h.margin,         -- decimal(18, 6)
    h.currency,       -- text
    h.closed_at,      -- timestamp
    h.recorded_time,  -- timestamp
    h.date            -- date
FROM history.deals AS h
