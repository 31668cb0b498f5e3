-- Sessions that exist, one row each: the highest revision, unless it is retracted.
-- key: account, session_id
--
-- A row is passed over if a later revision of its key stands anywhere in the table. Only the search for later ones
-- covers the whole of it (and of that, only files that hold a revision above the first, which is 1): what a query asks
-- of the rows themselves, such as a range of dates, reaches the scan. So the answer is right even where a correction
-- moved a row to another date.
-- Retracted rows are left out last: they take back their own session, and with it its earlier revisions, no other.
SELECT
    h.account,             -- text
    h.started_at,          -- timestamp
    h.session_id,          -- text
    h.revision,            -- integer
    h.retracted,           -- boolean
    h.visitor_id,          -- text
    h.visit_number,        -- integer
    h.ended_at,            -- timestamp
    h.pages,               -- integer
    h.channel,             -- text
    h.source,              -- text
    h.medium,              -- text
    h.campaign,            -- text
    h.term,                -- text
    h.content,             -- text
    h.click_id_type,       -- text
    h.click_id,            -- text
    h.referrer,            -- text
    h.landing_page,        -- text
    h.exit_page,           -- text
    h.experiment_id,       -- text
    h.experiment_variant,  -- text
    h.device,              -- text
    h.browser,             -- text
    h.os,                  -- text
    h.language,            -- text
    h.country,             -- text
    h.region,              -- text
    h.city,                -- text
    h.date                 -- date
FROM history.sessions AS h
WHERE
    NOT EXISTS (
        SELECT 1
        FROM history.sessions AS later
        WHERE
            later.revision > 1
            AND later.revision > h.revision
            AND later.account = h.account
            AND later.session_id = h.session_id
    )
    AND NOT h.retracted
