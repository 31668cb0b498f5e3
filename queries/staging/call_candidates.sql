-- Who could have made a call, one row a candidate: those of the call's highest revision.
-- key: account, call_id, rank
--
-- Rank 0 is "none of them"; the others go by probability from 1 on.
SELECT
    h.account,             -- text
    h.date,                -- date
    h.started_at,          -- timestamp
    h.call_id,             -- text
    h.revision,            -- integer
    h.rank,                -- integer
    h.probability,         -- double
    h.chosen,              -- boolean
    h.session_id,          -- text
    h.visitor_id,          -- text
    h.lease_id,            -- text
    h.source,              -- text
    h.medium,              -- text
    h.campaign,            -- text
    h.granted_at,          -- timestamp
    h.last_seen_at,        -- timestamp
    h.delay_seconds,       -- double
    h.lease_active,        -- boolean
    h.lease_released,      -- boolean
    h.clicked_seconds,     -- double
    h.asked_for_callback,  -- boolean
    h.known_caller,        -- double
    h.called_already,      -- double
    h.moved,               -- boolean
    h.same_country,        -- boolean
    h.pages,               -- integer
    h.shown_seconds        -- double
FROM history.call_candidates AS h
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
