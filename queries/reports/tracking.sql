-- What do static and dynamic numbers bring, and how sure is their source?
-- base: calls
-- by: account, day, number_kind, site, pool, tracking_number, channel, source
-- default: number_kind
-- measure: calls
--
-- Dynamic numbers are those of pools, static ones have a source of their own. The others are overflow numbers and
-- those of which nothing is known. joined calls have a session, sourced ones a source. Outbound calls are left out.
SELECT
    account,
    day,
    number_kind,
    site,
    pool,
    tracking_number,
    channel,
    source,
    count(*) AS calls,
    count(DISTINCT dialled) AS numbers,
    sum(CASE WHEN is_joined THEN 1 ELSE 0 END) AS joined,
    sum(CASE WHEN source IS NOT NULL THEN 1 ELSE 0 END) AS sourced,
    round(sum(CASE WHEN source IS NOT NULL THEN 1 ELSE 0 END) * 1.0 / count(*), 4) AS sourced_share,
    round(avg(source_confidence), 4) AS mean_source_confidence,
    sum(CASE WHEN is_target THEN 1 ELSE 0 END) AS target_calls,
    sum(CASE WHEN is_unique THEN 1 ELSE 0 END) AS unique_calls,
    sum(CASE WHEN is_missed THEN 1 ELSE 0 END) AS missed
FROM (SELECT *, tracking_number AS dialled FROM marts.calls) AS dialled_calls
WHERE direction <> 'outbound'
GROUP BY account, day, number_kind, site, pool, tracking_number, channel, source
ORDER BY
    calls DESC,
    account ASC NULLS LAST,
    day ASC NULLS LAST,
    number_kind ASC NULLS LAST,
    site ASC NULLS LAST,
    pool ASC NULLS LAST,
    tracking_number ASC NULLS LAST,
    channel ASC NULLS LAST,
    source ASC NULLS LAST
