-- How long after their first visit do callers call?
-- base: touchpoints
-- by: account, day, channel, source, medium, campaign, device
-- default:
-- measure: calls
-- only: visitor_id IS NOT NULL
--
-- From the start of the first visit in the 90 days up to the call, to the call. The columns to break down by are those
-- of that first visit. share and share_by_then are of all rows. Calls without a visitor are left out.
SELECT
    g.lag,
    g.account,
    g.day,
    g.channel,
    g.source,
    g.medium,
    g.campaign,
    g.device,
    sum(g.calls) AS calls,
    sum(g.target_calls) AS target_calls,
    round(sum(g.calls) * 1.0 / sum(sum(g.calls)) OVER (), 4) AS share,
    round(
        sum(sum(g.calls)) OVER (
            ORDER BY g.place, g.account, g.day, g.channel, g.source, g.medium, g.campaign, g.device
            ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW
        ) * 1.0
        / sum(sum(g.calls)) OVER (),
        4
    ) AS share_by_then
FROM (
    SELECT
        CASE
            WHEN days_from_first < 1.0 / 24.0 THEN 1
            WHEN days_from_first < 1 THEN 2
            WHEN days_from_first < 3 THEN 3
            WHEN days_from_first < 7 THEN 4
            WHEN days_from_first < 14 THEN 5
            WHEN days_from_first < 30 THEN 6
            ELSE 7
        END AS place,
        CASE
            WHEN days_from_first < 1.0 / 24.0 THEN 'under 1 hour'
            WHEN days_from_first < 1 THEN 'under 1 day'
            WHEN days_from_first < 3 THEN '1 to 3 days'
            WHEN days_from_first < 7 THEN '3 to 7 days'
            WHEN days_from_first < 14 THEN '7 to 14 days'
            WHEN days_from_first < 30 THEN '14 to 30 days'
            ELSE '30 to 90 days'
        END AS lag,
        account,
        day,
        channel,
        source,
        medium,
        campaign,
        device,
        1 AS calls,
        CASE WHEN is_target THEN 1 ELSE 0 END AS target_calls
    FROM marts.touchpoints
    WHERE is_first
) AS g
GROUP BY g.place, g.lag, g.account, g.day, g.channel, g.source, g.medium, g.campaign, g.device
ORDER BY
    g.place,
    g.account ASC NULLS LAST,
    g.day ASC NULLS LAST,
    g.channel ASC NULLS LAST,
    g.source ASC NULLS LAST,
    g.medium ASC NULLS LAST,
    g.campaign ASC NULLS LAST,
    g.device ASC NULLS LAST
