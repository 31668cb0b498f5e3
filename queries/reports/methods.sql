-- By which method were calls joined to sessions, and how sure is that?
-- base: calls
-- by: pool, channel, source, tracking_number
-- default:
-- measure: calls
--
-- Outbound calls are left out. mean_confidence is over calls with a session, mean_source_confidence over those with a
-- source.
SELECT
    attribution_method AS method,
    pool,
    channel,
    source,
    tracking_number,
    count(*) AS calls,
    round(count(*) * 1.0 / sum(count(*)) OVER (), 4) AS share,
    round(avg(attribution_confidence), 4) AS mean_confidence,
    round(avg(source_confidence), 4) AS mean_source_confidence,
    round(avg(candidates), 2) AS mean_candidates
FROM marts.calls
WHERE direction <> 'outbound'
GROUP BY attribution_method, pool, channel, source, tracking_number
ORDER BY
    calls DESC,
    method,
    pool ASC NULLS LAST,
    channel ASC NULLS LAST,
    source ASC NULLS LAST,
    tracking_number ASC NULLS LAST
