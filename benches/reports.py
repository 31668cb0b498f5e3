#!/usr/bin/env python3
"""Reports against DuckDB: the same statements over the same Parquet files, on the same cores, in turn.

    benches/reports.py BINARY LAKE [ROUNDS]       (needs psycopg and duckdb)

callweave answers over PostgreSQL's protocol (`callweave query`, a manager who sees all of the account acme), DuckDB from
its own process with the views of queries/ over `read_parquet` of the files that are in the tables now (their Delta logs are read once,
before). Both have opened everything before the first round. Printed: the median of each report, the ratio (below 1:
callweave is faster), the geometric mean of the ratios, and callweave's peak of memory.
"""

import contextlib
import glob
import json
import math
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time

import duckdb
import psycopg

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..")
PASSWORD = "password of the bench"
FIRST_ROWS = 20


def texts(folder):
    paths = sorted(glob.glob(os.path.join(ROOT, "queries", folder, "*.sql")))
    return {os.path.basename(path)[:-4]: open(path, encoding="utf-8").read() for path in paths}


def files(table):
    """What a table is made of now, by its log: the last checkpoint and the commits after it are enough."""
    from deltalake import DeltaTable
    return DeltaTable(table).file_uris() if os.path.exists(os.path.join(table, "_delta_log")) else []


def duck_of(lake):
    duck = duckdb.connect(config={"threads": len(os.sched_getaffinity(0))})
    duck.execute("SET TimeZone = 'UTC'; CREATE SCHEMA history; CREATE SCHEMA public; CREATE SCHEMA marts; USE public")
    for name, text in texts("staging").items():
        of_table = files(os.path.join(lake, name))
        if of_table:
            listed = ", ".join(f"'{path}'" for path in of_table)
            duck.execute(f"CREATE VIEW history.{name} AS FROM read_parquet([{listed}], hive_partitioning = true, hive_types = {{'date': DATE}}, union_by_name = true)")
        else:
            print(f"{name}: empty", file=sys.stderr)
            continue
        duck.execute(f"CREATE VIEW public.{name} AS {text}")
    for name, text in texts("marts").items():
        with contextlib.suppress(duckdb.CatalogException):
            duck.execute(f"CREATE VIEW marts.{name} AS {text}")
    return duck


def free_port():
    with socket.socket() as own:
        own.bind(("127.0.0.1", 0))
        return own.getsockname()[1]


@contextlib.contextmanager
def server(binary, lake, others=()):
    """The login `bench`, and `others` with the same password and what a login has by default."""
    with tempfile.TemporaryDirectory() as folder:
        env = {name: value for name, value in os.environ.items() if not name.startswith("CALLWEAVE_")}
        login = subprocess.run([binary, "login", "bench", "--role", "manager"], input=PASSWORD + "\n", env=env, check=True, capture_output=True, text=True)
        own = json.loads(login.stdout)
        logins = [{**own, "seconds": 600, "memory_mib": 4096}, *({**own, "name": name} for name in others)]
        with open(os.path.join(folder, "acme.json"), "w") as file:
            json.dump({"logins": logins}, file)
        port = free_port()
        with open(os.path.join(folder, "callweave.toml"), "w") as file:
            file.write(f'lake = "{os.path.abspath(lake)}"\ndata = "data"\n[listen]\ncollect = "127.0.0.1:{free_port()}"\nadmin = "127.0.0.1:{free_port()}"\n'
                       f'postgres = "127.0.0.1:{port}"\nflight = "off"\n[accounts.acme]\nkeys = ["the-key-of-the-acme"]\nsettings = "acme.json"\n')
        process = subprocess.Popen([binary, "query"], cwd=folder, env=env, stderr=subprocess.DEVNULL)
        try:
            while process.poll() is None:
                with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                    break
            yield f"host=127.0.0.1 port={port} user=bench@acme password='{PASSWORD}' dbname=callweave sslmode=disable", process.pid
        finally:
            process.terminate()
            process.wait()


def peak_mib(pid):
    with open(f"/proc/{pid}/status") as file:
        return next(int(line.split()[1]) // 1024 for line in file if line.startswith("VmHWM"))


def main():
    binary, lake = os.path.abspath(sys.argv[1]), os.path.abspath(sys.argv[2])
    rounds = int(sys.argv[3]) if len(sys.argv) > 3 else 5
    duck = duck_of(lake)
    ratios = []
    with server(binary, lake) as (dsn, pid), psycopg.connect(dsn, autocommit=True) as connection:
        print(f"{'report':<24} {'callweave ms':>12} {'DuckDB ms':>10} {'ratio':>6}")
        for name in texts("reports"):
            sql = subprocess.run([binary, "report", name, "--sql"], capture_output=True, text=True, check=True).stdout
            ours, theirs = [], []
            try:
                for turn in range(rounds + 1):
                    started = time.perf_counter()
                    connection.execute(sql).fetchall()
                    between = time.perf_counter()
                    duck.execute(sql).fetchall()
                    ended = time.perf_counter()
                    if turn > 0:  # the first warms the caches of both
                        ours.append(between - started)
                        theirs.append(ended - between)
            except (psycopg.Error, duckdb.Error) as error:
                print(f"{name:<24} {type(error).__module__}: {str(error).splitlines()[0]:.100}")
                continue
            ours, theirs = statistics.median(ours) * 1000, statistics.median(theirs) * 1000
            ratios.append(ours / theirs)
            print(f"{name:<24} {ours:>12.0f} {theirs:>10.0f} {ours / theirs:>6.2f}", flush=True)
        firsts = []
        for _ in range(FIRST_ROWS):
            started = time.perf_counter()
            with connection.cursor() as cursor:
                cursor.execute("SELECT * FROM calls LIMIT 100")
                cursor.fetchone()
            firsts.append((time.perf_counter() - started) * 1000)
        print(f"first row of SELECT * FROM calls LIMIT 100: {statistics.median(firsts):.0f} ms ({firsts[0]:.0f} the first time, {max(firsts):.0f} at most, of {FIRST_ROWS})")
        print(f"geometric mean of {len(ratios)} ratios: {math.exp(statistics.fmean(map(math.log, ratios))):.2f}; callweave's peak of memory {peak_mib(pid)} MiB")


if __name__ == "__main__":
    main()
