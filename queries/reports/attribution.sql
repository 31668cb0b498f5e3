-- Which visits do calls owe themselves to, by each model of attribution?
-- base: touchpoints
-- by: account, day, channel, source, medium, campaign, term, content, landing_page, device, country, region, city
-- default: channel
-- measure: touched
--
-- touched counts the calls that a visit of the row came before, assisted those of them where such a visit was not the
-- last one. Each model shares one call out among the visits of its visitor in the 90 days up to it, so that its column
-- adds up to the calls with such a visit. by_position gives 40 % to the first and the last visit, by_time halves with every
-- 7 days before the call. --where is_target counts target calls. Query strings of pages are cut off.
SELECT
    t.account,
    t.day,
    t.channel,
    t.source,
    t.medium,
    t.campaign,
    t.term,
    t.content,
    t.landing_page,
    t.device,
    t.country,
    t.region,
    t.city,
    count(DISTINCT t.call) AS touched,
    count(DISTINCT t.assisted_call) AS assisted,
    round(sum(t.weight_first), 2) AS first_visit,
    round(sum(t.weight_last), 2) AS last_visit,
    round(sum(t.weight_last_non_direct), 2) AS last_not_direct,
    round(sum(t.weight_linear), 2) AS linear,
    round(sum(t.weight_position), 2) AS by_position,
    round(sum(t.weight_time_decay), 2) AS by_time
FROM (
    SELECT
        account,
        day,
        channel,
        source,
        medium,
        campaign,
        term,
        content,
        split_part(landing_page, '?', 1) AS landing_page,
        device,
        country,
        region,
        city,
        concat(account, ' ', call_id) AS call,
        CASE WHEN NOT is_last THEN concat(account, ' ', call_id) END AS assisted_call,
        weight_first,
        weight_last,
        weight_last_non_direct,
        weight_linear,
        weight_position,
        weight_time_decay
    FROM marts.touchpoints
) AS t
GROUP BY
    t.account,
    t.day,
    t.channel,
    t.source,
    t.medium,
    t.campaign,
    t.term,
    t.content,
    t.landing_page,
    t.device,
    t.country,
    t.region,
    t.city
ORDER BY
    linear DESC,
    t.account ASC NULLS LAST,
    t.day ASC NULLS LAST,
    t.channel ASC NULLS LAST,
    t.source ASC NULLS LAST,
    t.medium ASC NULLS LAST,
    t.campaign ASC NULLS LAST,
    t.term ASC NULLS LAST,
    t.content ASC NULLS LAST,
    t.landing_page ASC NULLS LAST,
    t.device ASC NULLS LAST,
    t.country ASC NULLS LAST,
    t.region ASC NULLS LAST,
    t.city ASC NULLS LAST
