-- What does a call cost, and what comes back for what is spent?
-- base: calls, sessions, costs, deals
-- by: account, day, source, medium, campaign, term, content
-- default: source, medium, campaign, term
-- measure: cost
--
-- By keyword as it stands: with --format csv it is the feed that bid-management tools read. Costs, visits, calls and
-- deals are put together by the columns of the report and by the day of each: a cost's own, the local day of the
-- others, for a deal that of its latest stage. return_on_spend is revenue for each unit of cost. Money is never added
-- over currencies: where they are mixed it is empty, and --where "currency = 'EUR'" picks one. Amounts that name none
-- are in a currency of their own, and a deal without an amount has no currency. Outbound calls are left out.
SELECT
    account,
    day,
    source,
    medium,
    campaign,
    term,
    content,
    nullif(CASE WHEN min(currency) = max(currency) THEN min(currency) END, '') AS currency,
    CAST(CASE WHEN min(currency) = max(currency) THEN sum(cost) END AS DECIMAL(28, 2)) AS cost,
    sum(clicks) AS clicks,
    sum(sessions) AS sessions,
    sum(calls) AS calls,
    sum(target_calls) AS target_calls,
    round(CASE WHEN min(currency) = max(currency) THEN CAST(sum(cost) AS DOUBLE) / nullif(sum(calls), 0) END, 2) AS cost_per_call,
    round(
        CASE WHEN min(currency) = max(currency) THEN CAST(sum(cost) AS DOUBLE) / nullif(sum(target_calls), 0) END, 2
    ) AS cost_per_target_call,
    sum(deals) AS deals,
    CAST(CASE WHEN min(currency) = max(currency) THEN sum(revenue) END AS DECIMAL(28, 2)) AS revenue,
    CAST(CASE WHEN min(currency) = max(currency) THEN sum(margin) END AS DECIMAL(28, 2)) AS margin,
    round(
        CASE WHEN min(currency) = max(currency) THEN CAST(sum(revenue) AS DOUBLE) / nullif(CAST(sum(cost) AS DOUBLE), 0) END, 4
    ) AS return_on_spend
FROM (
    SELECT
        account,
        day,
        source,
        medium,
        campaign,
        term,
        content,
        CASE WHEN cost IS NOT NULL THEN coalesce(currency, '') END AS currency,
        cost,
        clicks,
        0 AS sessions,
        0 AS calls,
        0 AS target_calls,
        0 AS deals,
        CAST(NULL AS DECIMAL(18, 6)) AS revenue,
        CAST(NULL AS DECIMAL(18, 6)) AS margin
    FROM marts.costs
    UNION ALL
    SELECT
        account,
        day,
        source,
        medium,
        campaign,
        term,
        content,
        NULL AS currency,
        NULL AS cost,
        NULL AS clicks,
        1 AS sessions,
        0 AS calls,
        0 AS target_calls,
        0 AS deals,
        NULL AS revenue,
        NULL AS margin
    FROM marts.sessions
    UNION ALL
    SELECT
        account,
        day,
        source,
        medium,
        campaign,
        term,
        content,
        NULL AS currency,
        NULL AS cost,
        NULL AS clicks,
        0 AS sessions,
        1 AS calls,
        CASE WHEN is_target THEN 1 ELSE 0 END AS target_calls,
        0 AS deals,
        NULL AS revenue,
        NULL AS margin
    FROM marts.calls
    WHERE direction <> 'outbound'
    UNION ALL
    SELECT
        account,
        day,
        source,
        medium,
        campaign,
        term,
        content,
        CASE WHEN coalesce(revenue, margin) IS NOT NULL THEN coalesce(currency, '') END AS currency,
        NULL AS cost,
        NULL AS clicks,
        0 AS sessions,
        0 AS calls,
        0 AS target_calls,
        1 AS deals,
        revenue,
        margin
    FROM marts.deals
) AS everything
GROUP BY account, day, source, medium, campaign, term, content
ORDER BY
    day,
    cost DESC NULLS LAST,
    calls DESC,
    sessions DESC,
    account ASC NULLS LAST,
    source ASC NULLS LAST,
    medium ASC NULLS LAST,
    campaign ASC NULLS LAST,
    term ASC NULLS LAST,
    content ASC NULLS LAST
