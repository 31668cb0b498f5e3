-- Where are calls lost that nobody takes, and which of them are the agents' fault?
-- base: calls
-- by: account, day, channel, source, medium, campaign, tracking_number, pool, agent
-- default:
-- measure: lost
--
-- Each call that was not answered counts in one step, the first that fits, so that the steps add up to not_answered.
-- remaining is what is left of it after the step. Outbound calls go first, then those out of business hours, then
-- those whose caller left during the greeting or the menu, busy, voicemail, failed, and callbacks that the client did
-- not take. The rest rang, and no agent took them. Calls whose end never came are left out.
SELECT
    m.step,
    m.account,
    m.day,
    m.channel,
    m.source,
    m.medium,
    m.campaign,
    m.tracking_number,
    m.pool,
    m.agent,
    m.lost,
    round(m.lost * 1.0 / m.not_answered, 4) AS share,
    m.not_answered - m.lost_by_then AS remaining,
    m.not_answered
FROM (
    SELECT
        n.*,
        sum(n.lost) OVER (PARTITION BY n.account, n.day, n.channel, n.source, n.medium, n.campaign, n.tracking_number, n.pool, n.agent) AS not_answered,
        sum(n.lost) OVER (
            PARTITION BY n.account, n.day, n.channel, n.source, n.medium, n.campaign, n.tracking_number, n.pool, n.agent
            ORDER BY n.place
            ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW
        ) AS lost_by_then
    FROM (
        SELECT
            missed_step AS step,
            CASE missed_step
                WHEN 'outbound' THEN 1
                WHEN 'out_of_hours' THEN 2
                WHEN 'greeting' THEN 3
                WHEN 'menu' THEN 4
                WHEN 'busy' THEN 5
                WHEN 'voicemail' THEN 6
                WHEN 'failed' THEN 7
                WHEN 'client' THEN 8
                ELSE 9
            END AS place,
            account,
            day,
            channel,
            source,
            medium,
            campaign,
            tracking_number,
            pool,
            agent,
            count(*) AS lost
        FROM marts.calls
        WHERE missed_step IS NOT NULL
        GROUP BY missed_step, account, day, channel, source, medium, campaign, tracking_number, pool, agent
    ) AS n
) AS m
ORDER BY
    m.account ASC NULLS LAST,
    m.day ASC NULLS LAST,
    m.channel ASC NULLS LAST,
    m.source ASC NULLS LAST,
    m.medium ASC NULLS LAST,
    m.campaign ASC NULLS LAST,
    m.tracking_number ASC NULLS LAST,
    m.pool ASC NULLS LAST,
    m.agent ASC NULLS LAST,
    m.place
