#!/usr/bin/env python3
"""Views, reports and checks give the same answers in DuckDB: the texts of queries/ run there as they stand.

    reports.py BINARY        (needs duckdb, duckdb-ext-delta and pytz; tests/run installs them)

DuckDB sees the lake's files through its own Delta reader as the schema `history`; queries/staging are its views in
`public`, queries/marts in `marts`. The only difference of dialect: DuckDB casts an instant to a wall clock in the zone
that SET TimeZone names, so that one setting does what `--timezone` does. The last line is `N passed, N failed`.
"""

import datetime
import decimal
import glob
import json
import math
import os
import subprocess
import sys
import sysconfig
import tempfile

import duckdb

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
COUNTS = {"passed": 0, "failed": 0}


def callweave(binary, folder, *arguments):
    # Nothing of the caller's environment decides what the test sees.
    kept = {name: value for name, value in os.environ.items() if not name.startswith("CALLWEAVE_")}
    done = subprocess.run([binary, *arguments], cwd=folder, env=kept, capture_output=True, text=True, timeout=300)
    if done.returncode != 0:
        sys.exit(f"callweave {' '.join(arguments)}: exit status {done.returncode}\n{done.stderr}")
    return done.stdout


def texts(folder):
    """Name and text of each file."""
    found = {}
    for path in sorted(glob.glob(os.path.join(ROOT, "queries", folder, "*.sql"))):
        with open(path, encoding="utf-8") as file:
            found[os.path.basename(path)[: -len(".sql")]] = file.read()
    assert found, folder
    return found


def header(text, key):
    for line in text.splitlines():
        if line.startswith(f"-- {key}:"):
            return [word.strip() for word in line.split(":", 1)[1].split(",") if word.strip()]
    return []


def reached(chances, removed=None):
    """The chance to come from the start to a call, by following journeys until hardly any goes on."""
    there, mass = 0.0, {"(start)": 1.0}
    for _ in range(10_000):
        after = {}
        for state, share in mass.items():
            for to, chance in chances.get(state, {}).items():
                if to == "(call)":
                    there += share * chance
                elif to not in ("(end)", removed):
                    after[to] = after.get(to, 0.0) + share * chance
        mass = after
        if sum(mass.values()) < 1e-12:
            break
    return there


def removal_effects(moves):
    """What callweave's function of this name does by elimination."""
    chances = {}
    for move in moves:
        chances.setdefault(move["from"], {})[move["to"]] = move["times"]
    for ways in chances.values():
        every = sum(ways.values())
        ways.update({to: times / every for to, times in ways.items()})
    whole = reached(chances)
    states = sorted(set(chances) - {"(start)"})
    return [{"state": state, "removal": 1.0 - reached(chances, state) / whole} for state in states] if whole > 0 else []


def connect(lake):
    duck = duckdb.connect()
    duck.create_function("removal_effects", removal_effects, ['STRUCT("from" VARCHAR, "to" VARCHAR, times DOUBLE)[]'],
                         "STRUCT(state VARCHAR, removal DOUBLE)[]")
    duck.execute("CREATE MACRO named_struct(a, of_a, b, of_b, c, of_c) AS {'from': of_a, 'to': of_b, 'times': of_c}")
    [extension] = glob.glob(
        os.path.join(sysconfig.get_paths()["purelib"], "duckdb_ext/extensions/*/*/delta.duckdb_extension"))
    duck.execute(f"LOAD '{extension}'; SET TimeZone = 'UTC'")
    duck.execute("CREATE SCHEMA history; CREATE SCHEMA public; CREATE SCHEMA whole; CREATE SCHEMA marts; USE public")
    for name, text in texts("staging").items():
        # Read once: what is compared is SQL, not files.
        duck.execute(f"CREATE TABLE history.{name} AS FROM delta_scan('{os.path.join(lake, name)}')")
        duck.execute(f"CREATE VIEW public.{name} AS {text}")
    for name, text in texts("marts").items():
        duck.execute(f"CREATE VIEW whole.{name} AS {text}")
    return duck


def narrow(duck, zone="UTC", account=None, days=None):
    """The marts as `report --timezone --account --from --to` makes them."""
    duck.execute(f"SET TimeZone = '{zone}'")
    for name, text in texts("marts").items():
        conditions = [f"account = '{account}'"] if account else []
        time, day = header(text, "time"), header(text, "day")
        if days and time:
            first, after = days[0], datetime.date.fromisoformat(days[1]) + datetime.timedelta(days=1)
            conditions += [f"{time[0]} >= TIMESTAMPTZ '{first} 00:00:00'", f"{time[0]} < TIMESTAMPTZ '{after} 00:00:00'"]
        elif days and day:
            conditions.append(f"{day[0]} BETWEEN '{days[0]}' AND '{days[1]}'")
        where = " AND ".join(conditions) or "TRUE"
        duck.execute(f"CREATE OR REPLACE VIEW marts.{name} AS SELECT * FROM whole.{name} WHERE {where}")


def plain(value):
    """As `callweave --format json` writes it."""
    if isinstance(value, datetime.datetime):
        if value.tzinfo is None:
            return value.isoformat(timespec="microseconds")
        return value.astimezone(datetime.timezone.utc).replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"
    if isinstance(value, datetime.date):
        return value.isoformat()
    return float(value) if isinstance(value, decimal.Decimal) else value


def same(ours, theirs):
    if isinstance(ours, (int, float)) and isinstance(theirs, (int, float)) and not isinstance(theirs, bool):
        # Sums of parts differ in their last digits, and so does what is rounded.
        return math.isclose(ours, theirs, rel_tol=1e-9, abs_tol=1.01e-4)
    return ours == theirs


def compare(what, ours, duck, sql):
    try:
        result = duck.execute(sql)
    except duckdb.Error as error:
        COUNTS["failed"] += 1
        print(f"FAILED: {what}: DuckDB: {error}")
        return 0
    names = [column[0] for column in result.description]
    theirs = [[plain(value) for value in row] for row in result.fetchall()]
    mine = [[row[name] for name in names] for row in ours] if not ours or set(ours[0]) == set(names) else ours
    differing = [pair for pair in zip(mine, theirs) if len(pair[0]) != len(pair[1]) or not all(map(same, *pair))]
    if len(mine) == len(theirs) and not differing:
        COUNTS["passed"] += 1
        return len(mine)
    COUNTS["failed"] += 1
    print(f"FAILED: {what}: {len(mine)} rows, DuckDB has {len(theirs)}; {len(differing)} differ, {names}")
    for mine, theirs in differing[:3]:
        print(f"  callweave: {mine!r:.400}\n  DuckDB:    {theirs!r:.400}")
    return 0


def people(erase):
    """Visits and calls of people who are erased, and of others; without the erasures where `erase` is false."""
    begin, lines = datetime.datetime(2026, 11, 2, 10, tzinfo=datetime.timezone.utc), []

    def at(seconds):
        return (begin + datetime.timedelta(seconds=seconds)).isoformat()

    def tell(seconds, kind, **data):
        if kind != "erase" or erase:
            lines.append({"specversion": "1.0", "id": str(len(lines)), "source": "people", "type": kind,
                          "time": at(seconds), "account": "acme", "data": data})

    def visit(seconds, visitor, number, session):
        own = {"visitor_id": visitor, **({"session_id": session} if session else {})}
        tell(seconds, "page_view", url=f"https://acme.example/?utm_source={visitor}&gclid=x", **own)
        tell(seconds, "lease_granted", lease_id=f"l-{visitor}", pool="p", number=number, expires_at=at(seconds + 1800), **own)

    def call(seconds, name, caller, number, talk=65):
        tell(seconds + talk, "call_record", call_id=name, direction="inbound", **{"from": caller}, to=number,
             started_at=at(seconds), answered_at=at(seconds), ended_at=at(seconds + talk), recording_url="https://r.example/1")

    day = 86_400
    # A telephone, with calls before and after.
    call(-day, "phone-0", "+493012345601", "+493010000")
    visit(0, "v-phone", "+493010001", "s-phone")
    call(10, "phone-1", "+493012345601", "+493010001")
    tell(300, "erase", phone="+493012345601")
    call(2 * day, "phone-2", "+493012345601", "+493010000")
    # Visitors whose session is open, with calls of their telephone before and after; one goes on under its name.
    for at_once, (who, session) in enumerate((("given", "s-given"), ("made", None), ("twin", "s-twin"))):
        phone, number = f"+4930123456{11 + at_once}", f"+49301001{at_once}"
        call(-day, f"{who}-0", phone, "+493010000", talk=5)
        visit(3 * day, f"v-{who}", number, session)
        call(3 * day + 10, f"{who}-1", phone, number)
        tell(3 * day + 300, "erase", visitor_id=f"v-{who}")
        call(5 * day, f"{who}-2", phone, "+493010000")
    tell(3 * day + 400, "page_view", visitor_id="v-given", session_id="s-given", url="https://acme.example/more")
    # The target call that a cycle began with is erased; others' cycles are shorter than to the one before.
    for name, phone in (("cycle-0", "+493012345625"), ("other-0", "+493012345626"), ("third-0", "+493012345627")):
        call(6 * day, name, phone, "+493010000")
    visit(14 * day, "v-cycle", "+493010020", "s-cycle")
    call(14 * day + 10, "cycle-1", "+493012345625", "+493010020")
    tell(14 * day + 300, "erase", visitor_id="v-cycle")
    call(15 * day, "cycle-2", "+493012345625", "+493010000")
    call(15 * day - 3_600, "other-1", "+493012345626", "+493010000")
    call(14 * day, "third-1", "+493012345627", "+493010000")
    tell(16 * day, "page_view", visitor_id="v-last", session_id="s-last", url="https://acme.example/")
    tell(20 * day, "page_view", visitor_id="v-last", session_id="s-end", url="https://acme.example/")
    return "".join(json.dumps(line) + "\n" for line in sorted(lines, key=lambda line: line["time"]))


def make_lakes(binary, folder):
    callweave(binary, folder, "simulate", "--seed", "23", "--days", "24", "--visits-per-day", "120", "--calls", "0.08",
              "--account", "acme,globex", "--late", "0.05", "--duplicates", "0.02", "-o", "events.ndjson")
    with open(os.path.join(folder, "events.ndjson"), "rb") as file:
        lines = file.readlines()
    # The second file corrects what the first left open.
    for name, part in (("first", lines[: len(lines) // 2]), ("second", lines[len(lines) // 2 :])):
        with open(os.path.join(folder, f"{name}.ndjson"), "wb") as file:
            file.writelines(part)
        callweave(binary, folder, "run", "--input", f"{name}.ndjson", "--lake", "simulated")
    callweave(binary, folder, "run", "--input", os.path.join(ROOT, "tests/sql/story.ndjson"), "--lake", "story")
    for lake, erase in (("erased", True), ("whole", False)):
        with open(os.path.join(folder, f"{lake}.ndjson"), "w", encoding="utf-8") as file:
            file.write(people(erase))
        callweave(binary, folder, "run", "--input", f"{lake}.ndjson", "--lake", lake)


def compare_checks(lake, ours, duck):
    for name, text in texts("checks").items():
        compare(f"{lake}: checks/{name}", ours("report", f"checks/{name}"), duck, text)
        found = duck.execute(text).fetchall()
        if found:
            COUNTS["failed"] += 1
            print(f"FAILED: {lake}: checks/{name} finds {found[:3]}")


def compare_erased(binary, folder):
    """An erasure leaves as many rows as there were, and none that cannot be."""
    counts = {}
    for lake in ("erased", "whole"):
        duck = connect(os.path.join(folder, lake))
        narrow(duck)
        compare_checks(lake, lambda *asked: json.loads(callweave(binary, folder, *asked, "--lake", lake, "--format", "json")),
                       duck)
        counts[lake] = [duck.execute(f"SELECT count(*) FROM {table}").fetchone()[0]
                        for table in ("calls", "sessions", "leases", "page_views")]
        named = duck.execute("SELECT count(DISTINCT visitor_id) FROM sessions").fetchone()[0]
        counts[lake].append(named)
    if counts["erased"] == counts["whole"]:
        COUNTS["passed"] += 1
    else:
        COUNTS["failed"] += 1
        print(f"FAILED: rows after erasures: {counts}")


def compare_lake(binary, folder, lake, days, zone):
    duck = connect(os.path.join(folder, lake))

    def ours(*arguments):
        return json.loads(callweave(binary, folder, *arguments, "--lake", lake, "--format", "json"))

    narrow(duck)
    for name, text in texts("marts").items():
        sql = f"SELECT * FROM marts.{name} ORDER BY {', '.join(header(text, 'key'))}"
        compare(f"{lake}: marts.{name}", ours("sql", sql), duck, sql)
    compare_checks(lake, ours, duck)
    reports, rows = texts("reports"), 0
    for name, text in reports.items():
        by = ["--by", ",".join(header(text, "by"))] if header(text, "by") else []
        # With every column the statement is the file's own.
        rows += compare(f"{lake}: {name} {' '.join(by)}", ours("report", name, *by), duck, text)
        folded = callweave(binary, folder, "report", name, "--sql")
        rows += compare(f"{lake}: {name}", ours("report", name), duck, folded)
    narrow(duck, zone, "acme", days)
    narrowed = ["--timezone", zone, "--account", "acme", "--from", days[0], "--to", days[1]]
    for name in reports:
        folded = callweave(binary, folder, "report", name, "--sql")
        rows += compare(f"{lake}: {name} {' '.join(narrowed)}", ours("report", name, *narrowed), duck, folded)
    print(f"{lake}: {rows} rows of {len(reports)} reports compared")


def main():
    binary = os.path.abspath(sys.argv[1])
    with tempfile.TemporaryDirectory(prefix="callweave-clients-") as folder:
        make_lakes(binary, folder)
        compare_lake(binary, folder, "simulated", ("2026-11-05", "2026-11-19"), "America/New_York")
        compare_lake(binary, folder, "story", ("2026-11-03", "2026-11-04"), "Europe/Berlin")
        compare_erased(binary, folder)
    print(f"{COUNTS['passed']} passed, {COUNTS['failed']} failed")
    return 1 if COUNTS["failed"] else 0


if __name__ == "__main__":
    sys.exit(main())
