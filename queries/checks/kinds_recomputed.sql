-- Calls whose kinds are not what window functions make of their caller's calls.
--
-- The join decides the kinds as calls stream by. Here they are made again from the whole table, by start, then by
-- call_id. The lake does not hold settings, so the two that matter are read from the calls of an account: a call
-- qualifies if it is answered and talks longer than every answered call that has no kind, and a cycle lasts as long as
-- the longest gap between a repeated call and the target call before it. A gap is counted from the target call that
-- the join told: where every call agrees with that, it is the one that a count from the first call on would give, by
-- induction. An account that changed one of the two settings between its calls may show up here by right.
-- Of an erased call (anonymous, and counted all the same), and of those of a caller some of whose earlier calls are erased, only
-- what does not rest on the calls before is made again: whether they qualify, and what follows from that. kinds_in_order
-- looks after the rest.
WITH ordered AS (
    SELECT
        account,
        call_id,
        caller,
        started_at,
        outcome,
        talk_seconds,
        caller_calls,
        is_unique,
        is_target,
        is_repeated,
        is_first_target,
        is_unique_target,
        caller = 'anonymous' AND caller_calls IS NOT NULL AS is_erased,
        row_number() OVER (PARTITION BY account, caller ORDER BY started_at, call_id) AS place,
        max(CASE WHEN is_target THEN date_part('epoch', started_at) END) OVER (
            PARTITION BY account, caller
            ORDER BY started_at, call_id
            ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
        ) AS target_before
    FROM calls
    WHERE direction <> 'outbound'
),

gaps AS (
    SELECT
        o.*,
        o.caller <> 'anonymous' AND coalesce(o.caller_calls > o.place, FALSE) AS lacks_calls,
        CASE
            WHEN o.caller <> 'anonymous' AND NOT coalesce(o.caller_calls > o.place, FALSE)
                THEN date_part('epoch', o.started_at) - o.target_before
        END AS gap_seconds
    FROM ordered AS o
),

settings AS (
    SELECT
        account,
        max(CASE WHEN outcome = 'answered' AND NOT is_target AND NOT is_repeated THEN talk_seconds END) AS unqualified_longest,
        max(CASE WHEN is_repeated THEN gap_seconds END) AS cycle_seconds
    FROM gaps
    GROUP BY account
),

qualified AS (
    SELECT
        g.*,
        coalesce(g.outcome = 'answered' AND g.talk_seconds > coalesce(s.unqualified_longest, -1), FALSE) AS qualifies,
        CASE
            WHEN g.is_erased OR g.lacks_calls THEN g.is_repeated
            ELSE coalesce(g.gap_seconds <= s.cycle_seconds, FALSE)
        END AS in_cycle
    FROM gaps AS g
    INNER JOIN settings AS s ON s.account = g.account
),

counted AS (
    SELECT
        q.*,
        sum(CASE WHEN q.qualifies THEN 1 ELSE 0 END) OVER (
            PARTITION BY q.account, q.caller
            ORDER BY q.started_at, q.call_id
            ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW
        ) AS qualified_so_far
    FROM qualified AS q
),

made AS (
    SELECT
        c.*,
        CASE
            WHEN c.is_erased OR c.lacks_calls THEN c.caller_calls = 1
            ELSE c.caller <> 'anonymous' AND c.place = 1
        END AS unique_again,
        c.qualifies AND NOT c.in_cycle AS target_again,
        c.qualifies AND c.in_cycle AS repeated_again,
        CASE
            WHEN c.is_erased THEN c.qualifies AND c.is_first_target
            WHEN c.lacks_calls THEN c.qualifies AND c.qualified_so_far = 1 AND c.is_first_target
            ELSE c.caller <> 'anonymous' AND c.qualifies AND c.qualified_so_far = 1
        END AS first_target_again
    FROM counted AS c
)

SELECT
    account,
    call_id,
    is_unique,
    unique_again,
    is_target,
    target_again,
    is_repeated,
    repeated_again,
    is_first_target,
    first_target_again,
    is_unique_target
FROM made
WHERE
    is_unique <> unique_again
    OR is_target <> target_again
    OR is_repeated <> repeated_again
    OR is_first_target <> first_target_again
    OR is_unique_target <> (unique_again AND target_again)
