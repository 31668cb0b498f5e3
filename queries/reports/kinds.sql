-- How many calls are of each kind: first ones, target calls, repeated ones?
-- base: calls
-- by: account, day, channel, source, medium, campaign, tracking_number, pool, number_kind
-- default:
-- measure: calls_of_kind
--
-- One row a kind. A call may be of several kinds or of none, so they do not add up to all. Outbound calls are left out.
SELECT
    k.kind,
    c.account,
    c.day,
    c.channel,
    c.source,
    c.medium,
    c.campaign,
    c.tracking_number,
    c.pool,
    c.number_kind,
    CASE k.place
        WHEN 1 THEN c.calls
        WHEN 2 THEN c.unique_calls
        WHEN 3 THEN c.qualified_calls
        WHEN 4 THEN c.target_calls
        WHEN 5 THEN c.first_target_calls
        WHEN 6 THEN c.unique_target_calls
        ELSE c.repeated_calls
    END AS calls_of_kind,
    round(
        CASE k.place
            WHEN 1 THEN c.calls
            WHEN 2 THEN c.unique_calls
            WHEN 3 THEN c.qualified_calls
            WHEN 4 THEN c.target_calls
            WHEN 5 THEN c.first_target_calls
            WHEN 6 THEN c.unique_target_calls
            ELSE c.repeated_calls
        END * 1.0 / c.calls,
        4
    ) AS share
FROM (
    SELECT
        account,
        day,
        channel,
        source,
        medium,
        campaign,
        tracking_number,
        pool,
        number_kind,
        count(*) AS calls,
        sum(CASE WHEN is_unique THEN 1 ELSE 0 END) AS unique_calls,
        sum(CASE WHEN is_qualified THEN 1 ELSE 0 END) AS qualified_calls,
        sum(CASE WHEN is_target THEN 1 ELSE 0 END) AS target_calls,
        sum(CASE WHEN is_first_target THEN 1 ELSE 0 END) AS first_target_calls,
        sum(CASE WHEN is_unique_target THEN 1 ELSE 0 END) AS unique_target_calls,
        sum(CASE WHEN is_repeated THEN 1 ELSE 0 END) AS repeated_calls
    FROM marts.calls
    WHERE direction <> 'outbound'
    GROUP BY account, day, channel, source, medium, campaign, tracking_number, pool, number_kind
) AS c
CROSS JOIN (
    VALUES
    (1, 'all'),
    (2, 'unique'),
    (3, 'qualified'),
    (4, 'target'),
    (5, 'first_target'),
    (6, 'unique_target'),
    (7, 'repeated')
) AS k (place, kind)
ORDER BY
    k.place,
    c.account ASC NULLS LAST,
    c.day ASC NULLS LAST,
    c.channel ASC NULLS LAST,
    c.source ASC NULLS LAST,
    c.medium ASC NULLS LAST,
    c.campaign ASC NULLS LAST,
    c.tracking_number ASC NULLS LAST,
    c.pool ASC NULLS LAST,
    c.number_kind ASC NULLS LAST
