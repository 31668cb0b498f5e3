-- Visits that led to a call, one row for each call and visit of its visitor in the 90 days up to it.
-- grain: a call and a session
-- key: account, call_id, session_id
-- time: started_at
--
-- Prunes: a filter on date or account reaches the scan of calls (both are among the keys of all that is counted over a
-- call's visits). Sessions are read by account alone, and so are page views that name a user. date, started_at,
-- local_started_at, day, weekday and hour are the call's. Visitors are one person where pages of both name one user_id,
-- at any time: visits of the others count as the call's visitor's own (visitor_id is the call's). A user_id of more than
-- 32 visitors (guest, 0, undefined) is nobody's. A call without a visitor has no rows, nor has a robot's (spam_score from
-- 0.5 on), nor one whose visitor
-- made no visit in these 90 days: that of a lease whose session is not known. Each weight sums to one over a call's
-- rows: weight_position gives 40 % to the first and the last and 20 % to those between, weight_time_decay halves with
-- every 7 days before the call. A visit without a source counts as direct. Where all are direct, the last one is the
-- last that is not. What is not asked for is not reckoned: is_first and is_last cost less than all weights.
WITH users AS (
    SELECT u.account, u.visitor_id, u.user_id
    FROM (
        SELECT
            d.*,
            count(*) OVER (PARTITION BY d.account, d.user_id) AS visitors
        FROM (
            SELECT DISTINCT account, visitor_id, user_id
            FROM public.page_views
            WHERE user_id IS NOT NULL
        ) AS d
    ) AS u
    WHERE u.visitors <= 32
),

-- Whose visits count for a visitor's calls beside their own. The number tells visits of one instant apart.
devices AS (
    SELECT
        d.account,
        d.visitor_id,
        d.other_id,
        row_number() OVER (PARTITION BY d.account, d.visitor_id ORDER BY d.other_id) AS device_number
    FROM (
        SELECT DISTINCT
            u.account,
            u.visitor_id,
            other.visitor_id AS other_id
        FROM users AS u
        INNER JOIN users AS other ON other.account = u.account AND other.user_id = u.user_id
        WHERE other.visitor_id <> u.visitor_id
    ) AS d
),

called_by AS (
    SELECT
        c.*,
        c.visitor_id AS visits_of,
        CAST(0 AS BIGINT) AS device_number
    FROM public.calls AS c
    UNION ALL
    SELECT
        c.*,
        d.other_id AS visits_of,
        CAST(d.device_number AS BIGINT) AS device_number
    FROM public.calls AS c
    INNER JOIN devices AS d ON d.account = c.account AND d.visitor_id = c.visitor_id
),

touched AS (
    SELECT
        c.account,
        c.date,
        c.started_at,
        c.call_id,
        c.visitor_id,
        c.direction,
        c.outcome,
        c.talk_seconds,
        c.is_unique,
        c.is_target,
        c.is_repeated,
        c.is_first_target,
        c.is_unique_target,
        s.session_id,
        s.started_at AS session_started_at,
        coalesce(s.session_id = c.session_id, FALSE) AS is_call_session,
        s.visit_number,
        s.pages,
        s.channel,
        s.source,
        s.medium,
        s.campaign,
        s.term,
        s.content,
        s.landing_page,
        s.device,
        s.country,
        s.region,
        s.city,
        coalesce(s.source, '(direct)') = '(direct)' AS is_direct,
        (date_part('epoch', c.started_at) - date_part('epoch', s.started_at)) / 86400.0 AS days_before_call,
        power(2.0, (date_part('epoch', s.started_at) - date_part('epoch', c.started_at)) / 604800.0) AS decay,
        -- Sorts by start, then by visitor and the number of the visit: microseconds of 90 days take 43 bits.
        CAST(round((date_part('epoch', s.started_at) - date_part('epoch', c.started_at)) * 1000000) AS BIGINT) * 2048
        + c.device_number % 32 * 64 + s.visit_number % 64 AS place
    FROM called_by AS c
    INNER JOIN public.sessions AS s
        ON
            s.account = c.account
            AND s.visitor_id = c.visits_of
            AND s.started_at <= c.started_at
            AND s.started_at >= c.started_at - INTERVAL '2160 hours'
    WHERE coalesce(c.spam_score, 0.0) < 0.5
),

weighed AS (
    SELECT
        t.*,
        count(*) OVER call AS places,
        max(t.days_before_call) OVER call AS days_from_first,
        t.place = min(t.place) OVER call AS is_first,
        t.place = max(t.place) OVER call AS is_last,
        t.place = coalesce(max(CASE WHEN NOT t.is_direct THEN t.place END) OVER call, max(t.place) OVER call) AS is_last_known,
        t.decay / sum(t.decay) OVER call AS decay_share
    FROM touched AS t
    WINDOW call AS (PARTITION BY t.account, t.date, t.call_id)
)

SELECT
    w.account,
    w.date,
    w.started_at,
    w.call_id,
    w.session_id,
    w.visitor_id,
    w.session_started_at,
    CAST(row_number() OVER (PARTITION BY w.account, w.date, w.call_id ORDER BY w.place) AS INTEGER) AS position,
    CAST(
        w.places - CAST(row_number() OVER (PARTITION BY w.account, w.date, w.call_id ORDER BY w.place) AS BIGINT) + 1 AS INTEGER
    ) AS position_from_end,
    CAST(w.places AS INTEGER) AS touchpoints,
    w.is_first,
    w.is_last,
    w.is_direct,
    w.is_call_session,
    w.days_before_call,
    w.days_from_first,
    CAST(CASE WHEN w.is_first THEN 1 ELSE 0 END AS DOUBLE) AS weight_first,
    CAST(CASE WHEN w.is_last THEN 1 ELSE 0 END AS DOUBLE) AS weight_last,
    CAST(CASE WHEN w.is_last_known THEN 1 ELSE 0 END AS DOUBLE) AS weight_last_non_direct,
    1.0 / CAST(w.places AS DOUBLE) AS weight_linear,
    CAST(
        CASE
            WHEN w.places <= 2 THEN 1.0 / CAST(w.places AS DOUBLE)
            WHEN w.is_first OR w.is_last THEN 0.4
            ELSE 0.2 / CAST(w.places - 2 AS DOUBLE)
        END AS DOUBLE
    ) AS weight_position,
    w.decay_share AS weight_time_decay,
    w.visit_number,
    w.pages,
    w.channel,
    w.source,
    w.medium,
    w.campaign,
    w.term,
    w.content,
    w.landing_page,
    w.device,
    w.country,
    w.region,
    w.city,
    w.direction,
    w.outcome,
    w.talk_seconds,
    w.is_unique,
    w.is_target,
    w.is_repeated,
    w.is_first_target,
    w.is_unique_target,
    CAST(w.started_at AS TIMESTAMP(6)) AS local_started_at,
    CAST(w.started_at AS DATE) AS day,
    CAST(date_part('dow', w.started_at) AS INTEGER) AS weekday,
    CAST(date_part('hour', w.started_at) AS INTEGER) AS hour
FROM weighed AS w
