-- Calls whose confidence is no probability, or stands without what it is the confidence of.
--
-- A call joined to a lease that fell into no session has a visitor alone. A static number with a source is sure of it
-- without either.
SELECT
    account,
    call_id,
    attribution_method,
    attribution_confidence,
    source_confidence,
    session_id,
    visitor_id,
    source
FROM calls
WHERE
    attribution_confidence NOT BETWEEN 0 AND 1
    OR source_confidence NOT BETWEEN 0 AND 1
    OR (attribution_confidence IS NULL)
    <> (
        session_id IS NULL
        AND visitor_id IS NULL
        AND coalesce(attribution_method <> 'static' OR source IS NULL, TRUE)
    )
    OR (source_confidence IS NULL) <> (source IS NULL)
