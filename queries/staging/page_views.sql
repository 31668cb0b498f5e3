-- Page views, one row each, as they came.
-- key: account, event_source, event_id
SELECT
    h.account,             -- text
    h.time,                -- timestamp
    h.event_id,            -- text
    h.event_source,        -- text
    h.visitor_id,          -- text
    h.session_id,          -- text
    h.page_view_id,        -- text
    h.url,                 -- text
    h.referrer,            -- text
    h.title,               -- text
    h.user_agent,          -- text
    h.device,              -- text
    h.browser,             -- text
    h.os,                  -- text
    h.language,            -- text
    h.ip,                  -- text
    h.country,             -- text
    h.region,              -- text
    h.city,                -- text
    h.numbers,             -- text[]
    h.channel,             -- text
    h.source,              -- text
    h.medium,              -- text
    h.campaign,            -- text
    h.term,                -- text
    h.content,             -- text
    h.click_id_type,       -- text
    h.click_id,            -- text
    h.experiment_id,       -- text
    h.experiment_variant,  -- text
    h.client_id,           -- text
    h.user_id,             -- text
    h.consent,             -- text
    h.recorded_time,       -- timestamp
    h.date                 -- date
FROM history.page_views AS h
