-- With which devices do visitors come, from which source?
-- base: sessions
-- by: source, device, medium, channel, campaign, browser, os, language, country
-- default: source, device
-- measure: sessions
SELECT
    source,
    device,
    medium,
    channel,
    campaign,
    browser,
    os,
    language,
    country,
    count(*) AS sessions,
    count(DISTINCT visitor_id) AS visitors,
    round(count(*) * 1.0 / sum(count(*)) OVER (), 4) AS share,
    round(avg(pages), 2) AS mean_pages,
    round(avg(duration_seconds), 1) AS mean_seconds
FROM marts.sessions
GROUP BY source, device, medium, channel, campaign, browser, os, language, country
ORDER BY
    sessions DESC,
    source ASC NULLS LAST,
    device ASC NULLS LAST,
    medium ASC NULLS LAST,
    channel ASC NULLS LAST,
    campaign ASC NULLS LAST,
    browser ASC NULLS LAST,
    os ASC NULLS LAST,
    language ASC NULLS LAST,
    country ASC NULLS LAST
