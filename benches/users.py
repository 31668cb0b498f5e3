#!/usr/bin/env python3
"""Dashboard users beside each other: each has a connection and a login of its own, and asks what the panels of deploy/grafana
ask, over the last day, week or 30 days of the lake in turn, as fast as the answers come.

    benches/users.py BINARY LAKE [USERS] [SECONDS]       (needs psycopg)

Printed: how many statements were answered, errors by their text (there should be none), how long a statement and a whole
dashboard took, and callweave's peak of memory.
"""

import collections
import datetime
import json
import os
import re
import statistics
import sys
import threading
import time

import psycopg

from reports import ROOT, peak_mib, server


def panels():
    with open(os.path.join(ROOT, "deploy/grafana/dashboards/callweave.json"), encoding="utf-8") as file:
        board = json.load(file)
    return [target["rawSql"] for panel in board["panels"] for target in panel.get("targets", [])]


def filled(sql, first, last, channels):
    """What Grafana makes of its macros and variables."""
    sql = re.sub(r"\$__timeFilter\((\w+)\)", rf"\1 BETWEEN '{first:%Y-%m-%dT%H:%M:%SZ}' AND '{last:%Y-%m-%dT%H:%M:%SZ}'", sql)
    sql = re.sub(r"\$__timeGroupAlias\((\w+),[^)]*\)", r'floor(extract(epoch from \1)/86400)*86400 AS "time"', sql)
    sql = sql.replace("$__timeFrom()", f"'{first:%Y-%m-%dT%H:%M:%SZ}'").replace("$__timeTo()", f"'{last:%Y-%m-%dT%H:%M:%SZ}'")
    return sql.replace("$channel", channels)


def use(dsn, boards, until, took, whole, errors):
    turn = 0
    try:
        with psycopg.connect(dsn, autocommit=True) as connection:
            while time.monotonic() < until:
                begun = time.perf_counter()
                for sql in boards[turn % len(boards)]:
                    started = time.perf_counter()
                    try:
                        connection.execute(sql).fetchall()
                    except psycopg.Error as error:
                        errors[str(error).splitlines()[0]] += 1
                        if connection.closed:
                            raise
                    took.append(time.perf_counter() - started)
                whole.append(time.perf_counter() - begun)
                turn += 1
    except psycopg.Error as error:
        errors[f"connection: {str(error).splitlines()[0]}"] += 1


def told(name, seconds):
    cuts = statistics.quantiles(seconds, n=100, method="inclusive") if len(seconds) > 1 else [*seconds] * 99
    print(f"{name}: {len(seconds)}, p50 {cuts[49] * 1000:.0f} ms, p95 {cuts[94] * 1000:.0f} ms, most {max(seconds) * 1000:.0f} ms")


def main():
    binary, lake = os.path.abspath(sys.argv[1]), os.path.abspath(sys.argv[2])
    users = int(sys.argv[3]) if len(sys.argv) > 3 else 32
    seconds = float(sys.argv[4]) if len(sys.argv) > 4 else 60
    names = [f"user{n}" for n in range(users)]
    with server(binary, lake, names) as (dsn, pid):
        with psycopg.connect(dsn, autocommit=True) as connection:
            (end,) = connection.execute("SELECT max(started_at) FROM history.calls").fetchone()
            known = connection.execute("SELECT DISTINCT coalesce(channel, '(none)') FROM marts.calls ORDER BY 1").fetchall()
        channels = ", ".join("'" + name.replace("'", "''") + "'" for (name,) in known)
        boards = [[filled(sql, end - datetime.timedelta(days=days), end, channels) for sql in panels()] for days in (1, 7, 30)]
        took, whole, errors = [], [], collections.Counter()
        until = time.monotonic() + seconds
        threads = []
        for n, name in enumerate(names):
            own = dsn.replace("user=bench@", f"user={name}@")
            turned = boards[n % 3:] + boards[:n % 3]
            threads.append(threading.Thread(target=use, args=(own, turned, until, took, whole, errors)))
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        print(f"{users} users for {seconds:.0f} s: {sum(errors.values())} errors")
        for text, times in errors.most_common(10):
            print(f"  {times} times: {text}")
        told("statements", took)
        told("dashboards", whole)
        print(f"callweave's peak of memory {peak_mib(pid)} MiB")


if __name__ == "__main__":
    main()
