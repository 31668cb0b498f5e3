#!/usr/bin/env python3
"""The peer of `callweave run`: DuckDB reads the same NDJSON, writes page views to zstd Parquet partitioned by date, and
joins calls to leases by ASOF. It does a part of the work only: no decoding to types beyond what the join needs, no
sessions, no sources, no duplicates, no corrections, no exactly-once commit.

    duckdb.py EVENTS.ndjson OUT_FOLDER [THREADS]      (needs DuckDB 2.x; prints `SECONDS EVENTS EVENTS_PER_SECOND` last)
"""

import os
import shutil
import sys
import time

# This file's own name would shadow the library.
sys.path = [path for path in sys.path if os.path.abspath(path or ".") != os.path.dirname(os.path.abspath(__file__))]
import duckdb  # noqa: E402

# Told beforehand, as a careful user would: guessing the columns would cost a pass of its own.
DATA = {
    "visitor_id": "VARCHAR", "session_id": "VARCHAR", "page_view_id": "VARCHAR", "url": "VARCHAR", "referrer": "VARCHAR",
    "title": "VARCHAR", "user_agent": "VARCHAR", "ip": "VARCHAR", "language": "VARCHAR", "client_id": "VARCHAR",
    "user_id": "VARCHAR", "experiment_id": "VARCHAR", "experiment_variant": "VARCHAR", "lease_id": "VARCHAR",
    "pool": "VARCHAR", "number": "VARCHAR", "extension": "VARCHAR", "expires_at": "TIMESTAMP", "call_id": "VARCHAR",
    "direction": "VARCHAR", "from": "VARCHAR", "to": "VARCHAR", "status": "VARCHAR", "started_at": "TIMESTAMP",
    "answered_at": "TIMESTAMP", "ended_at": "TIMESTAMP", "agent": "VARCHAR", "outcome": "VARCHAR",
}


def main():
    source, out = sys.argv[1], sys.argv[2]
    threads = int(sys.argv[3]) if len(sys.argv) > 3 else 2
    shutil.rmtree(out, ignore_errors=True)
    os.makedirs(out)
    began = time.perf_counter()
    duck = duckdb.connect(os.path.join(out, "scratch.duckdb"))
    duck.execute(f"SET threads = {threads}; SET TimeZone = 'UTC'; SET preserve_insertion_order = false")
    struct = ", ".join(f'"{name}" {kind}' for name, kind in DATA.items())
    duck.execute(
        f"""CREATE TABLE events AS
            SELECT type, time, account, data.*
            FROM read_json('{source}', format = 'newline_delimited', ignore_errors = true, columns = {{
                type: 'VARCHAR', time: 'TIMESTAMP', account: 'VARCHAR', data: 'STRUCT({struct})'}})"""
    )
    duck.execute(
        f"""COPY (SELECT account, time, visitor_id, session_id, page_view_id, url, referrer, title, user_agent, ip, language,
                         client_id, user_id, experiment_id, experiment_variant, CAST(time AS DATE) AS date
                  FROM events WHERE type = 'page_view')
            TO '{out}/page_views' (FORMAT parquet, COMPRESSION zstd, PARTITION_BY (date))"""
    )
    duck.execute(
        f"""COPY (
              WITH calls AS (
                     SELECT account, call_id, any_value("from") AS caller, any_value("to") AS number,
                            min(coalesce(started_at, time)) AS started_at, max(coalesce(ended_at, time)) AS ended_at
                     FROM events WHERE type IN ('call', 'call_record') GROUP BY ALL),
                   leases AS (
                     SELECT account, number, time AS granted_at, lease_id, visitor_id, session_id, expires_at
                     FROM events WHERE type = 'lease_granted')
              SELECT c.*, l.lease_id, l.visitor_id, l.session_id, l.expires_at >= c.started_at AS active
              FROM calls c ASOF LEFT JOIN leases l
                ON c.account = l.account AND c.number = l.number AND c.started_at >= l.granted_at)
            TO '{out}/calls.parquet' (FORMAT parquet, COMPRESSION zstd)"""
    )
    took = time.perf_counter() - began
    [events] = duck.execute("SELECT count(*) FROM events").fetchone()
    [calls, joined] = duck.execute(f"SELECT count(*), count(lease_id) FROM '{out}/calls.parquet'").fetchone()
    print(f"DuckDB {duckdb.__version__}, {threads} threads: {events} events, {calls} calls, {joined} with a lease")
    print(f"{took:.3f} {events} {events / took:.0f}")


if __name__ == "__main__":
    main()
