-- Calls whose kind is not what the order of their caller's calls makes it.
--
-- is_target and is_repeated tell which calls qualified; the rest follows from the order. Outbound and anonymous calls
-- are outside of it.
WITH ordered AS (
    SELECT
        *,
        row_number() OVER (PARTITION BY account, caller ORDER BY started_at, call_id) AS place,
        sum(CASE WHEN is_target OR is_repeated THEN 1 ELSE 0 END) OVER (
            PARTITION BY account, caller
            ORDER BY started_at, call_id
            ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW
        ) AS qualified_so_far,
        sum(CASE WHEN is_target THEN 1 ELSE 0 END) OVER (
            PARTITION BY account, caller
            ORDER BY started_at, call_id
            ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW
        ) AS targets_so_far
    FROM calls
    WHERE direction <> 'outbound' AND caller <> 'anonymous'
),

named AS (
    SELECT
        account,
        call_id,
        caller_calls,
        place,
        is_unique,
        is_target,
        is_repeated,
        is_first_target,
        (is_target OR is_repeated) AND qualified_so_far = 1 AS first_qualified,
        caller_calls IS NULL
        OR caller_calls <> place
        OR is_unique <> (place = 1)
        OR (is_target AND is_repeated)
        OR is_first_target <> ((is_target OR is_repeated) AND qualified_so_far = 1)
        OR (is_repeated AND targets_so_far = 0)
        OR ((is_target OR is_repeated) AND coalesce(outcome <> 'answered', TRUE)) AS is_wrong
    FROM ordered
)

SELECT account, call_id, caller_calls, place, is_unique, is_target, is_repeated, is_first_target, first_qualified
FROM named
WHERE is_wrong
UNION ALL
SELECT
    account,
    call_id,
    caller_calls,
    NULL AS place,
    is_unique,
    is_target,
    is_repeated,
    is_first_target,
    FALSE AS first_qualified
FROM calls
WHERE
    (direction = 'outbound' AND (is_target OR is_unique OR is_repeated OR is_first_target OR caller_calls IS NOT NULL))
    OR (caller = 'anonymous' AND (is_unique OR is_repeated OR is_first_target OR caller_calls IS NOT NULL))
