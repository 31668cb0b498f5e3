-- Deals, one row each: the latest stage, with the source of the call or visit that it came from.
-- grain: a deal
-- key: account, deal_id
-- time: reached_at
--
-- Prunes: a filter on date, reached_at or account reaches the scan of deals. Calls, sessions and what earlier stages
-- named are read by account alone. A deal belongs to the call it names, else to the latest call of its phone by then
-- (no outbound one), else to the latest visit of its visitor by then. A stage that names none of a kind leaves what an
-- earlier one named. local_reached_at is the wall clock at the latest stage and day is read from it: UTC here,
-- the zone of --timezone in a report.
WITH latest AS (
    SELECT d.*
    FROM public.deals AS d
    WHERE
        NOT EXISTS (
            SELECT 1
            FROM public.deals AS later
            WHERE
                later.account = d.account
                AND later.deal_id = d.deal_id
                AND (
                    later.time > d.time
                    OR (later.time = d.time AND later.event_source > d.event_source)
                    OR (later.time = d.time AND later.event_source = d.event_source AND later.event_id > d.event_id)
                )
        )
),

-- Of each kind what the latest stage that named one named. Stages that name none are numbered apart.
named AS (
    SELECT
        s.account,
        s.deal_id,
        max(CASE WHEN s.call_back = 1 THEN s.call_id END) AS call_id,
        max(CASE WHEN s.phone_back = 1 THEN s.phone END) AS phone,
        max(CASE WHEN s.visitor_back = 1 THEN s.visitor_id END) AS visitor_id
    FROM (
        SELECT
            account,
            deal_id,
            call_id,
            phone,
            visitor_id,
            row_number() OVER (
                PARTITION BY account, deal_id, call_id IS NULL
                ORDER BY time DESC, event_source DESC, event_id DESC
            ) AS call_back,
            row_number() OVER (
                PARTITION BY account, deal_id, phone IS NULL
                ORDER BY time DESC, event_source DESC, event_id DESC
            ) AS phone_back,
            row_number() OVER (
                PARTITION BY account, deal_id, visitor_id IS NULL
                ORDER BY time DESC, event_source DESC, event_id DESC
            ) AS visitor_back
        FROM public.deals
    ) AS s
    GROUP BY s.account, s.deal_id
),

phoned AS (
    SELECT
        d.account,
        d.deal_id,
        c.call_id,
        row_number() OVER (PARTITION BY d.account, d.deal_id ORDER BY c.started_at DESC, c.call_id DESC) AS place
    FROM latest AS d
    INNER JOIN named AS n ON n.account = d.account AND n.deal_id = d.deal_id
    INNER JOIN public.calls AS c ON c.account = d.account AND c.caller = n.phone AND c.started_at <= d.time
    -- Who was erased is nobody in particular.
    WHERE n.phone <> 'anonymous' AND c.direction <> 'outbound'
),

visited AS (
    SELECT
        d.account,
        d.deal_id,
        s.session_id,
        row_number() OVER (PARTITION BY d.account, d.deal_id ORDER BY s.started_at DESC, s.session_id DESC) AS place
    FROM latest AS d
    INNER JOIN named AS n ON n.account = d.account AND n.deal_id = d.deal_id
    INNER JOIN public.sessions AS s ON s.account = d.account AND s.visitor_id = n.visitor_id AND s.started_at <= d.time
)

SELECT
    d.account,
    d.date,
    d.time AS reached_at,
    d.event_id,
    d.event_source,
    d.deal_id,
    n.phone,
    d.stage,
    d.revenue,
    d.margin,
    d.currency,
    d.closed_at,
    d.closed_at IS NOT NULL AS is_closed,
    d.recorded_time,
    c.call_id,
    c.caller,
    c.tracking_number,
    c.agent,
    CASE WHEN c.call_id IS NULL THEN s.session_id ELSE c.session_id END AS session_id,
    CASE WHEN c.call_id IS NULL THEN n.visitor_id ELSE c.visitor_id END AS visitor_id,
    CASE WHEN c.call_id IS NULL THEN s.channel ELSE c.channel END AS channel,
    CASE WHEN c.call_id IS NULL THEN s.source ELSE c.source END AS source,
    CASE WHEN c.call_id IS NULL THEN s.medium ELSE c.medium END AS medium,
    CASE WHEN c.call_id IS NULL THEN s.campaign ELSE c.campaign END AS campaign,
    CASE WHEN c.call_id IS NULL THEN s.term ELSE c.term END AS term,
    CASE WHEN c.call_id IS NULL THEN s.content ELSE c.content END AS content,
    CASE WHEN c.call_id IS NULL THEN s.landing_page ELSE c.landing_page END AS landing_page,
    CAST(d.time AS TIMESTAMP(6)) AS local_reached_at,
    CAST(d.time AS DATE) AS day
FROM latest AS d
LEFT JOIN named AS n ON n.account = d.account AND n.deal_id = d.deal_id
LEFT JOIN public.calls AS k ON k.account = n.account AND k.call_id = n.call_id
LEFT JOIN phoned AS p ON p.account = d.account AND p.deal_id = d.deal_id AND p.place = 1
LEFT JOIN visited AS v ON v.account = d.account AND v.deal_id = d.deal_id AND v.place = 1
LEFT JOIN public.calls AS c ON c.account = d.account AND c.call_id = coalesce(k.call_id, p.call_id)
LEFT JOIN public.sessions AS s ON s.account = d.account AND s.session_id = v.session_id
