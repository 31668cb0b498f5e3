-- Which landing pages lead to calls?
-- base: calls, sessions
-- by: landing_page, channel, source, device
-- default: landing_page
-- measure: sessions
-- only: is_joined
--
-- Only calls that were joined to a session have a landing page. Query strings are cut off. conversion is calls a
-- session.
SELECT
    landing_page,
    channel,
    source,
    device,
    sum(sessions) AS sessions,
    sum(calls) AS calls,
    sum(target_calls) AS target_calls,
    round(sum(calls) * 1.0 / nullif(sum(sessions), 0), 4) AS conversion
FROM (
    SELECT
        split_part(landing_page, '?', 1) AS landing_page,
        channel,
        source,
        device,
        1 AS sessions,
        0 AS calls,
        0 AS target_calls
    FROM marts.sessions
    UNION ALL
    SELECT
        split_part(landing_page, '?', 1) AS landing_page,
        channel,
        source,
        device,
        0 AS sessions,
        1 AS calls,
        CASE WHEN is_target THEN 1 ELSE 0 END AS target_calls
    FROM marts.calls
    WHERE is_joined AND direction <> 'outbound'
) AS visits_and_calls
GROUP BY landing_page, channel, source, device
ORDER BY
    calls DESC,
    sessions DESC,
    landing_page ASC NULLS LAST,
    channel ASC NULLS LAST,
    source ASC NULLS LAST,
    device ASC NULLS LAST
