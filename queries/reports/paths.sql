-- Over how many visits do callers come to call, and what did the last one bring?
-- base: touchpoints
-- by: account, day, channel, source, medium, campaign, device
-- default:
-- measure: calls
-- only: visitor_id IS NOT NULL
--
-- visits is how many visits the caller made in the 90 days up to the call, that of the call included, on all devices
-- that a user_id is known of. The columns to break down by are those of the last visit. Calls without a visitor are
-- left out.
SELECT
    touchpoints AS visits,
    account,
    day,
    channel,
    source,
    medium,
    campaign,
    device,
    count(*) AS calls,
    sum(CASE WHEN is_target THEN 1 ELSE 0 END) AS target_calls,
    round(count(*) * 1.0 / sum(count(*)) OVER (), 4) AS share,
    round(avg(days_from_first), 2) AS mean_days,
    round(median(days_from_first), 2) AS median_days
FROM marts.touchpoints
WHERE is_last
GROUP BY touchpoints, account, day, channel, source, medium, campaign, device
ORDER BY
    visits,
    account ASC NULLS LAST,
    day ASC NULLS LAST,
    channel ASC NULLS LAST,
    source ASC NULLS LAST,
    medium ASC NULLS LAST,
    campaign ASC NULLS LAST,
    device ASC NULLS LAST
