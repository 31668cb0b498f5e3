-- Calls whose kind is not what the order of their caller's calls makes it.
--
-- is_target and is_repeated tell which calls qualified, the rest follows from the order. Outbound and anonymous calls
-- are outside of it.
-- Erased calls say anonymous, keep their kinds and caller_calls, and still count for what else their caller's telephone
-- did: a caller's calls may lack as many of those before as there are erased ones of that country. A call that was
-- erased has lost its recording, click and city, and has the country of its caller or the name of nobody. (One of a telephone of no
-- country, such as a satellite's, may have neither, and shows up here by right.)
WITH counted AS (
    SELECT
        *,
        sum(CASE WHEN caller = 'anonymous' AND caller_calls IS NOT NULL THEN 1 ELSE 0 END) OVER (
            PARTITION BY account, caller_country
            ORDER BY started_at, call_id
            ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW
        ) AS erased_so_far
    FROM calls
    WHERE direction <> 'outbound'
),

ordered AS (
    SELECT
        *,
        row_number() OVER (PARTITION BY account, caller ORDER BY started_at, call_id) AS place,
        max(caller_calls) OVER (
            PARTITION BY account, caller
            ORDER BY started_at, call_id
            ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
        ) AS caller_calls_before,
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
    FROM counted
    WHERE caller <> 'anonymous'
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
        OR caller_calls < place
        OR caller_calls - place > erased_so_far
        OR coalesce(caller_calls <= caller_calls_before, FALSE)
        OR is_unique <> (caller_calls = 1)
        OR (is_target AND is_repeated)
        OR (is_first_target AND NOT ((is_target OR is_repeated) AND qualified_so_far = 1))
        OR (caller_calls = place AND NOT is_first_target AND (is_target OR is_repeated) AND qualified_so_far = 1)
        OR (caller_calls = place AND is_repeated AND targets_so_far = 0)
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
    OR (caller = 'anonymous' AND caller_calls IS NULL AND (is_unique OR is_repeated OR is_first_target))
    OR (
        caller = 'anonymous'
        AND caller_calls IS NOT NULL
        AND (
            (caller_country IS NULL AND NOT coalesce(visitor_id LIKE 'erased-%', FALSE))
            OR recording_url IS NOT NULL
            OR click_id IS NOT NULL
            OR city IS NOT NULL
            OR is_unique <> (caller_calls = 1)
            OR (is_target AND is_repeated)
            OR (is_repeated AND caller_calls = 1)
            OR (is_first_target AND NOT (is_target OR is_repeated))
            OR ((is_target OR is_repeated) AND coalesce(outcome <> 'answered', TRUE))
        )
    )
