"""What PostgreSQL's people write, and expect to be answered as PostgreSQL does: for sql.py, which has the server."""

import asyncio
import csv
import datetime
import io
import os
import re
import subprocess

import asyncpg
import psycopg

from . import busy


def try_dialect(server, calls, check, check_fails):
    with psycopg.connect(server.dsn("anna"), autocommit=True) as connection:
        names_of_columns(connection, calls, check)
        words(connection, calls, check, check_fails)
        prepared(connection, calls, check, check_fails)
        check("dialect: who asks", connection.execute("select current_user").fetchone(), ("anna",))
        check_fails("dialect: a sum beyond 64 bits", "22003 .*beyond", lambda: connection.execute("select sum(x) from (values (9223372036854775807), (1)) t(x)"))
        # What one function makes is not counted with a query's memory.
        for much in ("repeat('a', 500000000)", "lpad('', 500000000)", "range(0, 1000000000)", "array_repeat(1, 1000000000)", "replace(repeat('a', 10000000), 'a', repeat('b', 9999))"):
            check_fails(f"dialect: {much}", "53200 .*at once", lambda: connection.execute(f"select length({much}::text)"))
        cursors(connection, check)
        values(connection, calls, check, check_fails)
    copied(server, calls, check, check_fails)
    asyncio.run(over_asyncpg(server, calls, check))


def named(connection, sql):
    """The names of an answer's columns and its first row, which are the same however it is asked for."""
    cursor = connection.execute(sql)
    told = [column.name for column in cursor.description], cursor.fetchone()
    cursor = connection.execute(sql, prepare=True)
    again = [column.name for column in cursor.description], cursor.fetchone()
    return told if told == again else (told, again)


def values(connection, calls, check, check_fails):
    # Parameters that are nothing, and of which nobody knows what they would be.
    for sql, values, expected in [("select coalesce(%s, 'x')", (None,), ("x",)), ("select %s, %s", (None, 1), (None, 1)), ("select 1 limit %s", (None,), (1,)),
                                  ("select count(*) from calls where talk_seconds >= %s and %s is null", (0, None), (calls,)),
                                  ("select count(*) from (select 1 from calls limit %s offset %s) t", (3, None), (3,))]:
        check(f"dialect: {sql} with {values}", connection.execute(sql, values).fetchone(), expected)
    check("dialect: float is double", connection.execute("select (16777217::float)::bigint, (16777217::real)::bigint").fetchone(), (16777217, 16777216))
    objects = "json_build_object('a', 1, 'b', 'x\"y', 'c', null, 'd', 1.5, 'e', true, 'at', timestamp '2026-11-02T10:00:00')"
    check("dialect: objects", connection.execute(f"select {objects} from (values (1), (2)) t(n)").fetchall(), [('{"a" : 1, "b" : "x\\"y", "c" : null, "d" : 1.5, "e" : true, "at" : "2026-11-02T10:00:00.000000"}',)] * 2)
    check("dialect: an object of a row", connection.execute("select json_build_object('n', n, 'text', n::text) from (values (1)) t(n)").fetchone(), ('{"n" : 1, "text" : "1"}',))
    check_fails("dialect: an object of odd parts", "pairs", lambda: connection.execute("select json_build_object('a', 1, 'b')"))
    check("dialect: a time without seconds", connection.execute("select count(*) from calls where started_at = '2026-11-02 10:00' or started_at > '2026-11-02 10:00:00' or started_at < '2026-11-02T10:00Z'").fetchone(), (calls,))
    found = connection.execute("select sum(talk_seconds::int), sum(talk_seconds), sum(talk_seconds::real) from calls").fetchone()
    check("dialect: sums that differ by a cast", (isinstance(found[0], int), abs(found[0] - found[1]) < calls, abs(found[2] - found[1]) < 1), (True, True, True))
    check_fails("dialect: a limit of its own text", "57014", lambda: connection.execute(f"set statement_timeout = '1ms'; {busy.PAIRS}"))


def names_of_columns(connection, calls, check):
    for sql, names, row in [
        ("select 1, 1", ["?column?", "?column?"], (1, 1)),
        ("select count(*), count(*) from calls", ["count", "count"], (calls, calls)),
        ("select 1 as a, 2 as a", ["a", "a"], (1, 2)),
        ("select a.n, b.n, upper(b.n) as n from (values ('x')) a(n), (values ('y')) b(n)", ["n", "n", "n"], ("x", "y", "Y")),
        ("select *, n from (values (1)) t(n)", ["n", "n"], (1, 1)),
        ("select distinct n, n from (values (1), (1)) t(n)", ["n", "n"], (1, 1)),
        ("select 1, 1 union all select 2, 2 order by 1", ["?column?", "?column?"], (1, 1)),
        ("select max(n), n::text, true, case when n > 1 then 2 end, coalesce(n, 2), date '2026-01-01' from (values (1)) t(n) group by n",
         ["max", "n", "bool", "case", "coalesce", "date"], (1, "1", True, None, 1, __import__("datetime").date(2026, 1, 1))),
        # What stands in ORDER BY means what it meant.
        ("select n::text from (values (9), (10)) t(n) order by abs(n)", ["n"], ("9",)),
        ("select upper(n) from (values ('b'), ('a')) t(n) order by upper(n)", ["upper"], ("A",)),
        ("select distinct upper(n) from (values ('b'), ('a')) t(n) order by upper(n)", ["upper"], ("A",)),
        ("select n, count(*) from (values (1), (2), (2)) t(n) group by n order by count desc", ["n", "count"], (2, 2)),
        ("select n, count(*) from (values (1), (2), (2)) t(n) group by 1 having count(*) > 1 order by count(*)", ["n", "count"], (2, 2)),
        ("select date_trunc('day', started_at)::date, count(*) from calls group by 1 order by 1", ["date_trunc", "count"], None),
        ("select sum(n) over (order by n) from (values (1), (2)) t(n) order by 1 desc", ["sum"], (3,)),
        ("select * from (select count(*) as n from calls) x", ["n"], (calls,)),
    ]:
        found = named(connection, sql)
        check(f"dialect: {sql}", found if row else found[0], (names, row) if row else names)


def words(connection, calls, check, check_fails):
    one = "from calls order by call_id limit 1"
    for sql, expected in [
        ("select exists(select 1 from calls), not exists(select 1 from calls), exists(select 1 from calls where false)", (True, False, False)),
        (f"select (select count(*) from calls c where exists(select 1 from calls d where d.call_id = c.call_id))", (calls,)),
        # datafusion-postgres has NULL for a subquery that names what stands around it.
        (f"select (select max(d.started_at) from calls d where d.call_id = c.call_id) = c.started_at from calls c order by call_id limit 1", (True,)),
        (f"select count(*) from (select exists(select 1 from calls d where d.call_id = c.call_id) as x from calls c) y where x", (calls,)),
        ("select (timestamp '2026-01-01' + interval '1 day' * 3)::text, (timestamp '2026-01-01' + 2 * interval '12 hours')::text", ("2026-01-04T00:00:00", "2026-01-02T00:00:00")),
        # Upstream's encoder tells an interval that is null as none at all.
        ("select null::interval, age(null, now()), interval '1 day'", (None, None, datetime.timedelta(1))),
        ("select extract(hour from a - b), extract(minute from a - b), extract(decade from a) from (values (timestamp '2026-11-05 13:45:59', timestamp '2026-11-02 10:00')) t(a, b)", (3, 45, 202)),
        ("select extract(minute from t)::int / 15 * 15, extract(minute from t) / 15, (case when extract(hour from t) < 12 then 5 else 7 end) / 2, extract(hour from t - date '2026-11-02') / 4 from (values (timestamp '2026-11-02 10:40')) v(t)", (30, 40 / 15, 2, 2.5)),
        ("select (timestamp '2026-11-01 01:30' at time zone 'America/New_York') = timestamptz '2026-11-01 06:30:00Z'", (True,)),
        ("select sum(x), mode() within group (order by x) from unnest(array[1, 2, 2]) as x", (5, 2)),
        ("select n from (values (2), (1)) t(n) order by n fetch first 1 rows only", (1,)),
        ("select 'a%b' like 'a/%b' escape '/', 'axb' like 'a/%b' escape '/'", (True, False)),
        ("select '\\x6162'::bytea", (b"ab",)),
        ("select sum(n) from generate_series(1, 3) n", (6,)),
        ("select variance(n), pg_typeof(max(n)), pg_typeof(now()) from (values (1), (2)) t(n)", (0.5, "bigint", "timestamp with time zone")),
        ("select to_char(timezone('Europe/Berlin', timestamptz '2026-07-01 22:30:00+00'), 'YYYY-MM-DD HH24:MI')", ("2026-07-02 00:30",)),
        ("select to_char(timestamptz '2026-07-01 22:30:00+00' at time zone 'Europe/Berlin', 'YYYY-MM-DD HH24:MI')", ("2026-07-02 00:30",)),
        ("select date_trunc('day', timestamptz '2026-07-01 22:30:00+00', 'Europe/Berlin') = timestamptz '2026-07-01 22:00:00+00'", (True,)),
    ]:
        check(f"dialect: {sql}", connection.execute(sql).fetchone(), expected)
    # What a client declares of a parameter counts, and not what stands beside it.
    decimal = __import__("decimal").Decimal
    for binary in (False, True):
        for sql, given, expected in [
            ("select 10 / %s", decimal("4.0"), decimal("2.5")),
            ("select sum(n * %s) from (values (1), (2)) t(n)", decimal("0.5"), decimal("1.5")),
            ("select sum(n * %s) from (values (1), (2)) t(n)", 0.5, 1.5),
            ("select sum(case when n > 1 then %s else 0 end) from (values (1), (2)) t(n)", 0.5, 0.5),
            ("select greatest(1, %s)", 2.5, 2.5),
            ("select timestamp '2026-11-02 10:00' - %s", datetime.timedelta(hours=1), datetime.datetime(2026, 11, 2, 9)),
            ("select date '2026-11-02' - %s", 30, datetime.date(2026, 10, 3)),
            ("select substr('hello', %s)", 2, "ello"),
        ]:
            check(f"dialect: {sql} of {given!r}, binary {binary}", connection.cursor(binary=binary).execute(sql, (given,)).fetchone()[0], expected)
    local, utc = connection.execute(f"select started_at at time zone 'Europe/Berlin', started_at {one}").fetchone()
    check("dialect: a local time has no zone", (local.tzinfo, (local - utc.replace(tzinfo=None)).total_seconds()), (None, 3600))
    days = "count(distinct date_trunc('day', started_at at time zone 'Europe/Berlin')), count(distinct date_trunc('day', started_at, 'Europe/Berlin'))"
    found = connection.execute(f"select {days} from calls").fetchone()
    check("dialect: local days, either way", found[0] == found[1] > 0, True)
    check("dialect: a day of a zone of half hours", connection.execute("select date_trunc('day', timestamptz '2026-11-02 10:00:00Z', 'Asia/Kolkata')").fetchone()[0].astimezone(datetime.timezone.utc).isoformat(), "2026-11-01T18:30:00+00:00")
    for binary in (False, True):
        # With a parameter: over the extended protocol, where columns are described before they come.
        found = connection.cursor(binary=binary).execute("select max(date), max(date) + 7, max(date) - 30, max(date) + interval '6 hours', max(date) + interval '1 day' from calls where %s", (True,)).fetchone()
        day = found[0]
        expected = (day, day + datetime.timedelta(7), day - datetime.timedelta(30), datetime.datetime(day.year, day.month, day.day, 6), day + datetime.timedelta(1))
        check(f"dialect: days and hours, binary: {binary}", found, expected)
    check_fails("dialect: no zone", "no time zone", lambda: connection.execute(f"select started_at at time zone 'Mars' {one}"))


def prepared(connection, calls, check, check_fails):
    connection.execute("prepare some (bigint, date) as select count(*), $2 from calls where talk_seconds >= $1")
    found = connection.execute("execute some(0, '2026-01-02')").fetchone()
    expected = connection.execute("select count(*), date '2026-01-02' from calls where talk_seconds >= 0").fetchone()
    check("dialect: EXECUTE", (found, connection.execute("execute some(0, '2026-01-02')", prepare=True).fetchone()), (expected, expected))
    check("dialect: in one text", connection.execute("prepare other as select $1 + 1; execute other(2)").nextset(), True)
    connection.execute("prepare third as select 3", prepare=True)
    check("dialect: prepared by the extended protocol", connection.execute("execute third").fetchone(), (3,))
    check_fails("dialect: prepared twice", "42P05", lambda: connection.execute("prepare some as select 1"))
    check_fails("dialect: too few parameters", "42601", lambda: connection.execute("execute some(1)"))
    check_fails("dialect: nothing but questions", "25006", lambda: connection.execute("prepare bad as delete from calls"))
    connection.execute("deallocate some")
    check_fails("dialect: deallocated", "26000", lambda: connection.execute("execute some(1, '2026-01-01')"))
    connection.execute("deallocate all")
    check_fails("dialect: all deallocated", "26000", lambda: connection.execute("execute third"))
    check("dialect: goes on after all that", connection.execute("select 1").fetchone(), (1,))


def cursors(connection, check):
    with connection.transaction():
        connection.execute("declare c cursor for select n, n, count(*) from generate_series(1, 3) n group by n order by n fetch first 2 rows only")
        none = connection.execute("fetch 0 from c")
        check("dialect: FETCH 0", ([column.name for column in none.description], none.fetchall()), (["n", "n", "count"], []))
        check("dialect: FETCH", (connection.execute("fetch 1 from c").fetchall(), connection.execute("fetch all from c").fetchall()), ([(1, 1, 1)], [(2, 2, 1)]))


def copied(server, calls, check, check_fails):
    with psycopg.connect(server.dsn("anna"), autocommit=True) as connection:
        asked = "select call_id, caller, talk_seconds, cause, count(*) over () from calls order by call_id"
        rows = [["" if value is None else str(value).removesuffix(".0") for value in row] for row in connection.execute(asked).fetchall()]
        with connection.cursor().copy(f"copy ({asked}) to stdout with (format csv, header)") as copy:
            text = b"".join(bytes(part) for part in copy).decode()
        found = list(csv.reader(io.StringIO(text)))
        check("dialect: COPY as CSV", found, [["call_id", "caller", "talk_seconds", "cause", "count"], *rows])
        with connection.cursor().copy("copy (select 'a', null, E'x\\ty', 1) to stdout") as copy:
            check("dialect: COPY as text, row by row", list(copy.rows()), [("a", None, "x\ty", "1")])
        with connection.cursor().copy("copy calls (call_id) to stdout") as copy:
            check("dialect: COPY of a table", len(list(copy.rows())), calls)
        with connection.cursor().copy("copy (select count(*) from calls where call_id > %s) to stdout", ("",)) as copy:
            check("dialect: COPY with a parameter", list(copy.rows()), [(str(calls),)])

        def copy_all(sql):
            with connection.cursor().copy(sql) as copy:
                return list(copy.rows())

        for what, expected, sql in [("a format", "0A000", "copy calls to stdout (format binary)"), ("a file", "25006", "copy calls to '/tmp/x'"),
                                    ("the way in", "25006", "copy calls from stdin"), ("what is not there", "42P01", "copy nothing to stdout"),
                                    ("what writes", "25006|42601", "copy (delete from calls returning *) to stdout"),
                                    ("a row that fails", "22", "copy (select cast(call_id as int) from calls) to stdout")]:
            check_fails(f"dialect: COPY of {what}", expected, lambda: copy_all(sql))
        check("dialect: goes on after a COPY that failed", connection.execute("select 5").fetchone(), (5,))
    with psycopg.connect(server.dsn("tiny"), autocommit=True) as connection:
        def too_much():
            with connection.cursor().copy("copy page_views to stdout") as copy:
                return list(copy.rows())
        check_fails("dialect: COPY has the login's bounds", "54000", too_much)
    password = {"PATH": os.environ["PATH"], "PGPASSWORD": "password of anna"}
    done = subprocess.run(["psql", "-XAtq", server.dsn("anna"), "-c", f"\\copy (select call_id, caller from calls order by 1) to '{server.path('out.csv')}' csv header"],
                          env=password, capture_output=True, text=True, timeout=60)
    with open(server.path("out.csv")) as file:
        lines = file.read().splitlines()
    check("dialect: psql's \\copy", (done.returncode, done.stderr, lines[0], len(lines)), (0, "", "call_id,caller", calls + 1))
    check("dialect: masked in a COPY, too", all(re.search(",(person-|anonymous)", line) for line in lines[1:]), True)


async def over_asyncpg(server, calls, check):
    connection = await asyncpg.connect(host="127.0.0.1", port=server.ports["postgres"], user="anna", password="password of anna", database="callweave", ssl=False)
    row = await connection.fetchrow("select count(*), count(*), $1::bigint from calls", 5)
    check("dialect: asyncpg, two of one name", (list(row.keys()), tuple(row)), (["count", "count", "int8"], (calls, calls, 5)))
    out = io.BytesIO()
    told = await connection.copy_from_query("select call_id from calls", output=out, format="csv")
    check("dialect: asyncpg, copy_from_query", (told, len(out.getvalue().splitlines())), (f"COPY {calls}", calls))
    check("dialect: asyncpg, current_user", await connection.fetchval("select current_user"), "anna")
    await connection.close()
