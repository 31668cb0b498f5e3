-- Costs of advertising by day, one row each, as they were told.
-- key: account, event_source, event_id
SELECT
    h.account,        -- text
    h.time,           -- timestamp
    h.event_id,       -- text
    h.event_source,   -- text
    h.source,         -- text
    h.medium,         -- text
    h.campaign,       -- text
    h.term,           -- text
    h.content,        -- text
    h.cost,           -- decimal(18, 6)
    h.currency,       -- text
    h.clicks,         -- bigint
    h.impressions,    -- bigint
    h.recorded_time,  -- timestamp
    h.date            -- date
FROM history.ad_costs AS h
