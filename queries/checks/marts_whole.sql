-- Marts that do not add up to the tables they are made of.
WITH people AS (
    SELECT * FROM calls WHERE coalesce(spam_score, 0.0) < 0.5
),

sums AS (
    SELECT 'calls' AS mart, (SELECT count(*) FROM people) AS of_table, (SELECT count(*) FROM marts.calls) AS of_mart
    UNION ALL
    SELECT 'sessions', (SELECT count(*) FROM sessions), (SELECT count(*) FROM marts.sessions)
    UNION ALL
    SELECT 'leases', (SELECT count(*) FROM leases), (SELECT count(*) FROM marts.leases)
    UNION ALL
    SELECT 'costs', (SELECT count(*) FROM ad_costs), (SELECT count(*) FROM marts.costs)
    UNION ALL
    SELECT
        'deals',
        (SELECT count(*) FROM (SELECT DISTINCT account, deal_id FROM deals) AS d),
        (SELECT count(*) FROM marts.deals)
    UNION ALL
    SELECT
        'numbers',
        (SELECT count(*) FROM people WHERE direction <> 'outbound' AND tracking_number IS NOT NULL),
        (SELECT coalesce(sum(calls), 0) FROM marts.numbers)
    UNION ALL
    SELECT
        'pools',
        (SELECT count(*) FROM people WHERE direction <> 'outbound' AND pool IS NOT NULL),
        (SELECT coalesce(sum(calls), 0) FROM marts.pools)
    UNION ALL
    SELECT
        'agents',
        (SELECT count(*) FROM people WHERE agent IS NOT NULL),
        (SELECT coalesce(sum(calls + outbound_calls), 0) FROM marts.agents)
    UNION ALL
    SELECT
        'callers',
        (SELECT count(*) FROM people WHERE caller <> 'anonymous'),
        (SELECT coalesce(sum(calls + outbound_calls), 0) FROM marts.callers)
    UNION ALL
    SELECT
        'missed steps',
        (SELECT count(*) FROM people WHERE outcome <> 'answered'),
        (SELECT count(missed_step) FROM marts.calls)
)

SELECT mart, of_table, of_mart
FROM sums
WHERE of_table <> of_mart
