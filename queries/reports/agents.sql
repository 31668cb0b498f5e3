-- How many calls does each agent take, how fast, and how long do they talk?
-- base: calls
-- by: account, agent, day, weekday, hour, pool, tracking_number, destination, channel, source
-- default: agent
-- measure: calls
-- only: agent IS NOT NULL
--
-- All but the last two columns are of inbound calls and callbacks. A call that was put through to nobody
-- has no agent and is left out.
SELECT
    account,
    agent,
    day,
    weekday,
    hour,
    pool,
    tracking_number,
    destination,
    channel,
    source,
    sum(CASE WHEN direction <> 'outbound' THEN 1 ELSE 0 END) AS calls,
    sum(CASE WHEN direction <> 'outbound' AND is_answered THEN 1 ELSE 0 END) AS answered,
    round(
        sum(CASE WHEN direction <> 'outbound' AND is_answered THEN 1 ELSE 0 END) * 1.0
        / nullif(sum(CASE WHEN direction <> 'outbound' THEN 1 ELSE 0 END), 0),
        4
    ) AS answer_rate,
    round(avg(CASE WHEN direction <> 'outbound' AND is_answered THEN ring_seconds END), 1) AS mean_seconds_to_answer,
    round(median(CASE WHEN direction <> 'outbound' AND is_answered THEN ring_seconds END), 1) AS median_seconds_to_answer,
    round(max(CASE WHEN direction <> 'outbound' AND is_answered THEN ring_seconds END), 1) AS longest_seconds_to_answer,
    round(sum(CASE WHEN direction <> 'outbound' THEN talk_seconds ELSE 0 END) / 60.0, 1) AS talk_minutes,
    round(avg(CASE WHEN direction <> 'outbound' AND is_answered THEN talk_seconds END), 1) AS mean_talk_seconds,
    sum(CASE WHEN is_target THEN 1 ELSE 0 END) AS target_calls,
    sum(CASE WHEN direction = 'outbound' THEN 1 ELSE 0 END) AS outbound_calls,
    round(sum(CASE WHEN direction = 'outbound' THEN talk_seconds ELSE 0 END) / 60.0, 1) AS outbound_minutes
FROM marts.calls
WHERE agent IS NOT NULL
GROUP BY account, agent, day, weekday, hour, pool, tracking_number, destination, channel, source
ORDER BY
    calls DESC,
    account ASC NULLS LAST,
    agent ASC NULLS LAST,
    day ASC NULLS LAST,
    weekday ASC NULLS LAST,
    hour ASC NULLS LAST,
    pool ASC NULLS LAST,
    tracking_number ASC NULLS LAST,
    destination ASC NULLS LAST,
    channel ASC NULLS LAST,
    source ASC NULLS LAST
