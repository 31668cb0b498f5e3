-- Calls whose visits do not get one call in all from a model of attribution, or lack the call's own.
--
-- An erased call is nobody's, and may have no visits.
SELECT
    account,
    call_id,
    count(*) AS visits,
    sum(weight_first) AS by_first,
    sum(weight_last) AS by_last,
    sum(weight_last_non_direct) AS by_last_non_direct,
    sum(weight_linear) AS by_linear,
    sum(weight_position) AS by_position,
    sum(weight_time_decay) AS by_time_decay
FROM marts.touchpoints
GROUP BY account, call_id
HAVING
    abs(sum(weight_first) - 1) > 0.000001
    OR abs(sum(weight_last) - 1) > 0.000001
    OR abs(sum(weight_last_non_direct) - 1) > 0.000001
    OR abs(sum(weight_linear) - 1) > 0.000001
    OR abs(sum(weight_position) - 1) > 0.000001
    OR abs(sum(weight_time_decay) - 1) > 0.000001
    OR max(position) <> count(*)
UNION ALL
SELECT
    c.account,
    c.call_id,
    0 AS visits,
    NULL AS by_first,
    NULL AS by_last,
    NULL AS by_last_non_direct,
    NULL AS by_linear,
    NULL AS by_position,
    NULL AS by_time_decay
FROM calls AS c
LEFT JOIN marts.touchpoints AS t ON t.account = c.account AND t.call_id = c.call_id AND t.session_id = c.session_id
WHERE
    c.session_id IS NOT NULL
    AND t.call_id IS NULL
    AND coalesce(c.spam_score, 0.0) < 0.5
    AND NOT coalesce(c.visitor_id LIKE 'erased-%' AND c.caller = 'anonymous', FALSE)
