-- Calls, one row each: the highest revision.
-- key: account, call_id
--
-- A row is passed over if a later revision of its key stands anywhere in the table. Only the search for later ones
-- covers the whole of it (and of that, only files that hold a revision above the first, which is 1): what a query asks
-- of the rows themselves, such as a range of dates, reaches the scan. So the answer is right even where a correction
-- moved a row to another date.
SELECT
    h.account,                 -- text
    h.started_at,              -- timestamp
    h.call_id,                 -- text
    h.revision,                -- integer
    h.direction,               -- text
    h.answered_at,             -- timestamp
    h.ended_at,                -- timestamp
    h.caller,                  -- text
    h.caller_country,          -- text
    h.tracking_number,         -- text
    h.extension,               -- text
    h.destination,             -- text
    h.agent,                   -- text
    h.outcome,                 -- text
    h.cause,                   -- text
    h.hangup_by,               -- text
    h.ring_seconds,            -- double
    h.talk_seconds,            -- double
    h.total_seconds,           -- double
    h.in_business_hours,       -- boolean
    h.recording_url,           -- text
    h.spam_score,              -- double
    h.attribution_method,      -- text
    h.attribution_confidence,  -- double
    h.source_confidence,       -- double
    h.candidates,              -- integer
    h.lease_id,                -- text
    h.session_id,              -- text
    h.visitor_id,              -- text
    h.pool,                    -- text
    h.site,                    -- text
    h.channel,                 -- text
    h.source,                  -- text
    h.medium,                  -- text
    h.campaign,                -- text
    h.term,                    -- text
    h.content,                 -- text
    h.click_id_type,           -- text
    h.click_id,                -- text
    h.referrer,                -- text
    h.landing_page,            -- text
    h.call_page,               -- text
    h.experiment_id,           -- text
    h.experiment_variant,      -- text
    h.device,                  -- text
    h.browser,                 -- text
    h.os,                      -- text
    h.language,                -- text
    h.country,                 -- text
    h.region,                  -- text
    h.city,                    -- text
    h.visit_number,            -- integer
    h.session_started_at,      -- timestamp
    h.session_pages,           -- integer
    h.seconds_to_call,         -- double
    h.first_channel,           -- text
    h.first_source,            -- text
    h.first_medium,            -- text
    h.first_campaign,          -- text
    h.caller_calls,            -- integer
    h.is_unique,               -- boolean
    h.is_target,               -- boolean
    h.is_repeated,             -- boolean
    h.is_first_target,         -- boolean
    h.is_unique_target,        -- boolean
    h.date                     -- date
FROM history.calls AS h
WHERE
    NOT EXISTS (
        SELECT 1
        FROM history.calls AS later
        WHERE
            later.revision > 1
            AND later.revision > h.revision
            AND later.account = h.account
            AND later.call_id = h.call_id
    )
