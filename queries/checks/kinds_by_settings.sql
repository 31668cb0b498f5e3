-- Calls whose kind no target_seconds and no sales_cycle_days of their account explain.
--
-- The lake does not hold settings, so they are bounded from the calls: every qualified call talks longer than every
-- answered one that is not, and every repeated call is nearer to the target call before it than every target call is
-- to its own. An account that changed one of the two settings between its calls may show up here by right.
-- Where calls before are erased (a caller's place is lower than what was counted), the target call before may be one of them.
WITH ordered AS (
    SELECT
        account,
        call_id,
        started_at,
        outcome,
        talk_seconds,
        is_target,
        is_repeated,
        max(CASE WHEN is_target AND caller <> 'anonymous' THEN date_part('epoch', started_at) END) OVER (
            PARTITION BY account, caller
            ORDER BY started_at, call_id
            ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
        ) AS cycle_started,
        coalesce(
            caller_calls > row_number() OVER (PARTITION BY account, caller ORDER BY started_at, call_id), FALSE
        ) AS lacks_calls,
        caller
    FROM calls
    WHERE direction <> 'outbound'
),

gaps AS (
    SELECT
        account,
        call_id,
        outcome,
        talk_seconds,
        is_target,
        is_repeated,
        CASE
            WHEN caller <> 'anonymous' AND NOT lacks_calls THEN date_part('epoch', started_at) - cycle_started
        END AS gap_seconds
    FROM ordered
),

bounds AS (
    SELECT
        account,
        max(CASE WHEN NOT is_target AND NOT is_repeated THEN talk_seconds END) AS unqualified_longest,
        max(CASE WHEN is_repeated THEN gap_seconds END) AS repeated_farthest
    FROM gaps
    WHERE outcome = 'answered'
    GROUP BY account
)

SELECT g.account, g.call_id, g.is_target, g.is_repeated, g.talk_seconds, g.gap_seconds, b.unqualified_longest, b.repeated_farthest
FROM gaps AS g
INNER JOIN bounds AS b ON b.account = g.account
WHERE
    (g.is_target OR g.is_repeated) AND g.talk_seconds <= b.unqualified_longest
    OR g.is_target AND g.gap_seconds <= b.repeated_farthest
