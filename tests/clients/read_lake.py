#!/usr/bin/env python3
"""Other engines read the lake: DuckDB's Delta reader and deltalake-python see what `callweave sql` sees.

    read_lake.py BINARY        (needs duckdb, duckdb-ext-delta, pytz and deltalake; tests/run installs them)

A small lake is made by `simulate` and `run`, in two runs so that revisions of earlier rows stand in it. The last line
is `N passed, N failed`.
"""

import csv
import datetime
import glob
import io
import os
import subprocess
import sys
import sysconfig
import tempfile

import deltalake
import duckdb

TABLES = ["page_views", "web_events", "sessions", "leases", "calls", "call_candidates", "call_moments", "tags", "notes",
          "transcripts", "deals", "ad_costs", "rejected"]
# Tables whose rows are written again, and what is written together; the highest revision counts.
KEYS = {"sessions": "account, session_id", "leases": "account, lease_id", "calls": "account, call_id",
        "call_candidates": "account, call_id"}
ORDER = KEYS | {"call_candidates": "account, call_id, rank"}
COUNTS = {"passed": 0, "failed": 0}


def check(what, ours, theirs):
    if ours == theirs:
        COUNTS["passed"] += 1
        return
    COUNTS["failed"] += 1
    print(f"FAILED: {what}\n  callweave: {ours!r:.600}\n  the other: {theirs!r:.600}")


def callweave(binary, folder, *arguments):
    # Nothing of the caller's environment decides what the test sees.
    kept = {name: value for name, value in os.environ.items() if not name.startswith("CALLWEAVE_")}
    done = subprocess.run([binary, *arguments], cwd=folder, env=kept, capture_output=True, text=True, timeout=300)
    if done.returncode != 0:
        sys.exit(f"callweave {' '.join(arguments)}: exit status {done.returncode}\n{done.stderr}")
    return done.stdout


def make_lake(binary, folder):
    callweave(binary, folder, "simulate", "--seed", "11", "--events", "20000", "--late", "0.05", "--duplicates", "0.02",
              "--unusable", "0.01", "-o", "events.ndjson")
    with open(os.path.join(folder, "events.ndjson"), "rb") as file:
        lines = file.readlines()
    # The second file corrects what the first left open.
    for name, part in (("first", lines[: len(lines) // 2]), ("second", lines[len(lines) // 2 :])):
        with open(os.path.join(folder, f"{name}.ndjson"), "wb") as file:
            file.writelines(part)
        callweave(binary, folder, "run", "--input", f"{name}.ndjson", "--lake", "lake")
    return os.path.join(folder, "lake")


def ours(binary, folder, query):
    text = callweave(binary, folder, "sql", "--lake", "lake", "--format", "csv", query)
    rows = list(csv.reader(io.StringIO(text)))
    return rows[0], rows[1:]


def told(value):
    """As `callweave sql --format csv` writes it."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, datetime.datetime):
        return value.astimezone(datetime.timezone.utc)
    return value if isinstance(value, (int, float)) else str(value)


def read_back(text, like):
    """Our text in the other engine's type, so that only values are compared and not how they are written."""
    if text == "" or isinstance(like, str):
        return text
    if isinstance(like, datetime.datetime):
        return datetime.datetime.fromisoformat(text.replace("Z", "+00:00"))
    return type(like)(text)


def main():
    binary = os.path.abspath(sys.argv[1])
    with tempfile.TemporaryDirectory(prefix="callweave-clients-") as folder:
        lake = make_lake(binary, folder)
        duck = duckdb.connect()
        [extension] = glob.glob(os.path.join(sysconfig.get_paths()["purelib"], "duckdb_ext/extensions/*/*/delta.duckdb_extension"))
        duck.execute(f"LOAD '{extension}'; SET TimeZone = 'UTC'")
        for table in TABLES:
            path = os.path.join(lake, table)
            _, [[count]] = ours(binary, folder, f"select count(*) from history.{table}")
            check(f"{table}: rows, DuckDB", int(count), duck.execute(f"select count(*) from delta_scan('{path}')").fetchone()[0])
            check(f"{table}: rows, deltalake", int(count), deltalake.DeltaTable(path).count())
            source = f"delta_scan('{path}')"
            if table in KEYS:
                source = f"(from {source} qualify revision = max(revision) over (partition by {KEYS[table]}))"
            _, [[count]] = ours(binary, folder, f"select count(*) from {table}")
            check(f"{table}: rows that count", int(count), duck.execute(f"select count(*) from {source}").fetchone()[0])

        for table, key in KEYS.items():
            columns, rows = ours(binary, folder, f"select * from {table} order by {ORDER[table]}")
            path = os.path.join(lake, table)
            names = ", ".join(f'"{column}"' for column in columns)
            theirs = duck.execute(
                f"select {names} from delta_scan('{path}') "
                f"qualify revision = max(revision) over (partition by {key}) order by {ORDER[table]}"
            ).fetchall()
            theirs = [[told(value) for value in row] for row in theirs]
            mine = [[read_back(text, like) for text, like in zip(row, other)] for row, other in zip(rows, theirs)]
            check(f"{table}: every value of every row", (len(rows), mine), (len(theirs), theirs))
        _, [[corrected]] = ours(binary, folder, "select count(*) from history.sessions where revision > 1")
        check("the lake holds corrections", True, int(corrected) > 0)
        _, [[named]] = ours(binary, folder, "select count(*) from calls where attribution_method = 'lease'")
        check("the lake holds joined calls", True, int(named) > 0)
    print(f"{COUNTS['passed']} passed, {COUNTS['failed']} failed")
    return 1 if COUNTS["failed"] else 0


if __name__ == "__main__":
    sys.exit(main())
