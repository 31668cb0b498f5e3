-- How far do visits come, from the first page to a target call?
-- base: sessions, calls, leases
-- by: account, day, channel, source, medium, campaign, term, landing_page, device, country, visitor_kind, experiment_id, experiment_variant
-- default:
-- measure: visits
-- whole: leased, joined
--
-- One row a step: all visits, those that were shown a number of a pool, those that a call was joined to, and those of
-- whose calls one was answered, qualified, a target call. share is of all visits, of_step of the step before. Numbers
-- and calls count that came within the report's range too. --where picks visits, and whatever came of them counts. Only
-- what is no column of a visit (is_target, pool) picks among their numbers and calls. Query strings of pages are cut
-- off.
WITH leased AS (
    SELECT DISTINCT account AS of_account, session_id
    FROM marts.leases
    WHERE session_id IS NOT NULL
),

joined AS (
    SELECT
        account AS of_account,
        session_id,
        count(*) AS calls,
        sum(CASE WHEN is_answered THEN 1 ELSE 0 END) AS answered,
        sum(CASE WHEN is_qualified THEN 1 ELSE 0 END) AS qualified,
        sum(CASE WHEN is_target THEN 1 ELSE 0 END) AS target
    FROM marts.calls
    WHERE session_id IS NOT NULL AND direction <> 'outbound'
    GROUP BY of_account, session_id
)

SELECT
    k.step,
    v.account,
    v.day,
    v.channel,
    v.source,
    v.medium,
    v.campaign,
    v.term,
    v.landing_page,
    v.device,
    v.country,
    v.visitor_kind,
    v.experiment_id,
    v.experiment_variant,
    CASE k.place
        WHEN 1 THEN v.visits
        WHEN 2 THEN v.shown
        WHEN 3 THEN v.called
        WHEN 4 THEN v.answered
        WHEN 5 THEN v.qualified
        ELSE v.target
    END AS visits,
    round(
        CASE k.place
            WHEN 1 THEN v.visits
            WHEN 2 THEN v.shown
            WHEN 3 THEN v.called
            WHEN 4 THEN v.answered
            WHEN 5 THEN v.qualified
            ELSE v.target
        END * 1.0 / v.visits,
        4
    ) AS share,
    round(
        CASE k.place
            WHEN 2 THEN v.shown * 1.0 / v.visits
            WHEN 3 THEN v.called * 1.0 / nullif(v.shown, 0)
            WHEN 4 THEN v.answered * 1.0 / nullif(v.called, 0)
            WHEN 5 THEN v.qualified * 1.0 / nullif(v.answered, 0)
            WHEN 6 THEN v.target * 1.0 / nullif(v.qualified, 0)
        END,
        4
    ) AS of_step
FROM (
    SELECT
        r.account,
        r.day,
        r.channel,
        r.source,
        r.medium,
        r.campaign,
        r.term,
        r.landing_page,
        r.device,
        r.country,
        r.visitor_kind,
        r.experiment_id,
        r.experiment_variant,
        count(*) AS visits,
        sum(CASE WHEN r.is_shown OR r.calls > 0 THEN 1 ELSE 0 END) AS shown,
        sum(CASE WHEN r.calls > 0 THEN 1 ELSE 0 END) AS called,
        sum(CASE WHEN r.answered > 0 THEN 1 ELSE 0 END) AS answered,
        sum(CASE WHEN r.qualified > 0 THEN 1 ELSE 0 END) AS qualified,
        sum(CASE WHEN r.target > 0 THEN 1 ELSE 0 END) AS target
    FROM (
        SELECT
            s.account,
            s.day,
            s.channel,
            s.source,
            s.medium,
            s.campaign,
            s.term,
            split_part(s.landing_page, '?', 1) AS landing_page,
            s.device,
            s.country,
            s.visitor_kind,
            s.experiment_id,
            s.experiment_variant,
            l.session_id IS NOT NULL AS is_shown,
            coalesce(c.calls, 0) AS calls,
            coalesce(c.answered, 0) AS answered,
            coalesce(c.qualified, 0) AS qualified,
            coalesce(c.target, 0) AS target
        FROM marts.sessions AS s
        LEFT JOIN leased AS l ON l.of_account = s.account AND l.session_id = s.session_id
        LEFT JOIN joined AS c ON c.of_account = s.account AND c.session_id = s.session_id
    ) AS r
    GROUP BY
        r.account,
        r.day,
        r.channel,
        r.source,
        r.medium,
        r.campaign,
        r.term,
        r.landing_page,
        r.device,
        r.country,
        r.visitor_kind,
        r.experiment_id,
        r.experiment_variant
) AS v
CROSS JOIN (
    VALUES
    (1, 'visits'),
    (2, 'shown a number'),
    (3, 'called'),
    (4, 'answered'),
    (5, 'qualified'),
    (6, 'target')
) AS k (place, step)
ORDER BY
    v.account ASC NULLS LAST,
    v.day ASC NULLS LAST,
    v.channel ASC NULLS LAST,
    v.source ASC NULLS LAST,
    v.medium ASC NULLS LAST,
    v.campaign ASC NULLS LAST,
    v.term ASC NULLS LAST,
    v.landing_page ASC NULLS LAST,
    v.device ASC NULLS LAST,
    v.country ASC NULLS LAST,
    v.visitor_kind ASC NULLS LAST,
    v.experiment_id ASC NULLS LAST,
    v.experiment_variant ASC NULLS LAST,
    k.place
