-- Costs of advertising, one row each, as they were told.
-- grain: a cost
-- key: account, event_source, event_id
-- day: date
--
-- Prunes: a filter on date or account reaches the scan.
-- day is the day as the advertising system cut it. No time zone moves it.
SELECT
    a.account,
    a.date,
    a.time,
    a.event_source,
    a.event_id,
    a.source,
    a.medium,
    a.campaign,
    a.term,
    a.content,
    a.cost,
    a.currency,
    a.clicks,
    a.impressions,
    a.recorded_time,
    a.date AS day
FROM public.ad_costs AS a
