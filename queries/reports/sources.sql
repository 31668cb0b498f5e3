-- Where do visits and calls come from, and how many calls does a visit lead to?
-- base: calls, sessions
-- by: channel, source, medium, campaign, term, content, device, country
-- default: channel, source, medium, campaign
-- measure: sessions
--
-- Outbound calls are left out. conversion is calls a session, whether or not the call was joined to one: a static
-- number's call counts for its source. unique_calls are first calls of a caller.
SELECT
    channel,
    source,
    medium,
    campaign,
    term,
    content,
    device,
    country,
    sum(sessions) AS sessions,
    sum(calls) AS calls,
    sum(target_calls) AS target_calls,
    sum(unique_calls) AS unique_calls,
    sum(answered) AS answered,
    round(sum(calls) * 1.0 / nullif(sum(sessions), 0), 4) AS conversion
FROM (
    SELECT
        channel,
        source,
        medium,
        campaign,
        term,
        content,
        device,
        country,
        1 AS sessions,
        0 AS calls,
        0 AS target_calls,
        0 AS unique_calls,
        0 AS answered
    FROM marts.sessions
    UNION ALL
    SELECT
        channel,
        source,
        medium,
        campaign,
        term,
        content,
        device,
        country,
        0 AS sessions,
        1 AS calls,
        CASE WHEN is_target THEN 1 ELSE 0 END AS target_calls,
        CASE WHEN is_unique THEN 1 ELSE 0 END AS unique_calls,
        CASE WHEN is_answered THEN 1 ELSE 0 END AS answered
    FROM marts.calls
    WHERE direction <> 'outbound'
) AS visits_and_calls
GROUP BY channel, source, medium, campaign, term, content, device, country
ORDER BY
    calls DESC,
    sessions DESC,
    channel ASC NULLS LAST,
    source ASC NULLS LAST,
    medium ASC NULLS LAST,
    campaign ASC NULLS LAST,
    term ASC NULLS LAST,
    content ASC NULLS LAST,
    device ASC NULLS LAST,
    country ASC NULLS LAST
