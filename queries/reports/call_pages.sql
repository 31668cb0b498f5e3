-- From which pages do visitors call?
-- base: calls
-- by: account, call_page, landing_page, channel, source, campaign, device
-- default: call_page
-- measure: calls
-- only: is_joined
--
-- The last page that the visitor had opened when the call began. Calls that were not joined to a session, and outbound
-- ones, are left out. Query strings are cut off.
SELECT
    account,
    call_page,
    landing_page,
    channel,
    source,
    campaign,
    device,
    count(*) AS calls,
    sum(CASE WHEN is_target THEN 1 ELSE 0 END) AS target_calls,
    sum(CASE WHEN is_unique THEN 1 ELSE 0 END) AS unique_calls,
    sum(CASE WHEN is_missed THEN 1 ELSE 0 END) AS missed,
    round(avg(session_pages), 2) AS mean_session_pages,
    round(median(seconds_to_call) / 60.0, 1) AS median_minutes_to_call
FROM (
    SELECT
        account,
        split_part(call_page, '?', 1) AS call_page,
        split_part(landing_page, '?', 1) AS landing_page,
        channel,
        source,
        campaign,
        device,
        is_target,
        is_unique,
        is_missed,
        session_pages,
        seconds_to_call
    FROM marts.calls
    WHERE is_joined AND direction <> 'outbound'
) AS joined_calls
GROUP BY account, call_page, landing_page, channel, source, campaign, device
ORDER BY
    calls DESC,
    account ASC NULLS LAST,
    call_page ASC NULLS LAST,
    landing_page ASC NULLS LAST,
    channel ASC NULLS LAST,
    source ASC NULLS LAST,
    campaign ASC NULLS LAST,
    device ASC NULLS LAST
