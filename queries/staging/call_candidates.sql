-- Who could have made a call, one row a candidate: as they were written last.
-- key: account, call_id, rank
--
-- Rank 0 is "none of them", and the others go by probability from 1 on. They are written with a revision of the call
-- only where they are others than before, so revision is that of the call or an earlier one.
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
        FROM history.call_candidates AS later
        WHERE
            later.rank = 0
            AND later.revision > 1
            AND later.revision > h.revision
            AND later.account = h.account
            AND later.call_id = h.call_id
    )
