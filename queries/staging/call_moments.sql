-- Moments of calls, deals and pools, one row each, as subscribers were told them.
-- key: account, moment_id
SELECT
    h.account,        -- text
    h.at,             -- timestamp
    h.moment_id,      -- text
    h.moment,         -- text
    h.call_id,        -- text
    h.deal_id,        -- text
    h.pool,           -- text
    h.call_revision,  -- integer
    h.date            -- date
FROM history.call_moments AS h
