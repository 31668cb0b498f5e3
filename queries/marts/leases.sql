-- Leases of numbers, one row each, with when each ended.
-- grain: a lease
-- key: account, lease_id
-- time: granted_at
--
-- Prunes: a filter on date, granted_at or account reaches the scan. ended_at is the release, or the latest end that
-- was told, and never before the grant. line is the number and its extension: what one session holds.
-- local_granted_at is the wall clock at the grant, and day, weekday (0 is Sunday) and hour are read from it: UTC here,
-- the zone of --timezone in a report.
SELECT
    l.*,
    CASE WHEN l.extension IS NULL THEN l.number ELSE concat(l.number, ',', l.extension) END AS line,
    greatest(least(coalesce(l.released_at, l.expires_at), l.expires_at), l.granted_at) AS ended_at,
    date_part('epoch', greatest(least(coalesce(l.released_at, l.expires_at), l.expires_at), l.granted_at))
    - date_part('epoch', l.granted_at) AS held_seconds,
    CAST(l.granted_at AS TIMESTAMP(6)) AS local_granted_at,
    CAST(l.granted_at AS DATE) AS day,
    CAST(date_part('dow', l.granted_at) AS INTEGER) AS weekday,
    CAST(date_part('hour', l.granted_at) AS INTEGER) AS hour
FROM public.leases AS l
