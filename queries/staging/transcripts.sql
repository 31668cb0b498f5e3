-- Transcripts of calls, one row each, as they came.
-- key: account, event_source, event_id
SELECT
    h.account,        -- text
    h.time,           -- timestamp
    h.event_id,       -- text
    h.event_source,   -- text
    h.call_id,        -- text
    h.language,       -- text
    h.segments,       -- struct(speaker text, start_seconds double, text text)[]
    h.recorded_time,  -- timestamp
    h.date            -- date
FROM history.transcripts AS h
