#!/usr/bin/env python3
"""SQL clients as people use them: psql, psycopg, SQLAlchemy, asyncpg, JDBC, ODBC, ADBC (Flight SQL), HTTP; what the
OpenAPI document says (schemathesis); and what no login may do with any of them.

    sql.py BINARY        (needs psycopg, sqlalchemy, asyncpg, adbc-driver-flightsql, pyarrow, pandas, polars, schemathesis; psql,
                          openssl; and where they are there Java with libpostgresql-jdbc-java and odbc-postgresql with pyodbc)

A lake of two accounts is made by `simulate` and `run`, and served by `query`. The last line is `N passed, N failed`.
"""

import asyncio
import base64
import contextlib
import glob
import http.client
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time

import adbc_driver_flightsql.dbapi
import adbc_driver_manager
import asyncpg
import polars
import psycopg
import sqlalchemy

from parts import busy, dialect, entry

COUNTS = {"passed": 0, "failed": 0}
TLS_KEY = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost",
           "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-keyout", "tls.key", "-out", "tls.pem"]


def check(what, found, expected):
    if found == expected:
        COUNTS["passed"] += 1
    else:
        COUNTS["failed"] += 1
        print(f"FAILED: {what}\n  found:    {found!r:.800}\n  expected: {expected!r:.800}")


def check_fails(what, expected, act):
    """`act` fails with words that fit the pattern `expected`."""
    try:
        found = act()
    except Exception as error:  # every client has errors of its own
        found = f"{getattr(error, 'sqlstate', None)} {error}"
        if re.search(expected, found, re.S):
            COUNTS["passed"] += 1
            return
    COUNTS["failed"] += 1
    print(f"FAILED: {what}\n  found:    {found!r:.800}\n  expected: an error with {expected}")


class Server:
    """`callweave query` over a lake of the accounts acme and beta."""

    def __init__(self, binary, folder, simulate=("--events", "8000")):
        self.binary, self.folder = binary, folder
        self.env = {name: value for name, value in os.environ.items() if not name.startswith(("CALLWEAVE_", "PG"))}
        self.run("simulate", "--seed", "7", *simulate, "-o", "acme.ndjson")
        with open(self.path("acme.ndjson")) as acme, open(self.path("events.ndjson"), "w") as events:
            for line in acme:
                events.write(line)
                other = json.loads(line)
                other["account"] = "beta"
                events.write(json.dumps(other).replace("example", "beta-secret") + "\n")
        self.run("run", "--input", "events.ndjson", "--lake", "lake")
        logins = [self.login("anna", "analyst", "password of anna"), self.login("mona", "manager", "password of mona"),
                  {**self.login("slow", "analyst", "password of slow"), "seconds": 1},
                  {**self.login("alone", "analyst", "password of alone"), "seconds": 300, "concurrent": 1},
                  {**self.login("few", "manager", "password of few"), "rows": 10},
                  {**self.login("tiny", "analyst", "password of tiny"), "memory_mib": 1, "rows": 10, "concurrent": 1}]
        with open(self.path("acme.json"), "w") as file:
            json.dump({"logins": logins}, file)
        with open(self.path("beta.json"), "w") as file:
            json.dump({"logins": [self.login("bert", "manager", "password of bert")]}, file)
        subprocess.run(TLS_KEY, cwd=folder, check=True, capture_output=True)
        self.ports = {name: free_port() for name in ("http", "admin", "postgres", "flight")}
        with open(self.path("callweave.toml"), "w") as file:
            file.write(f"""
data = "data"
lake = "lake"
[listen]
collect = "127.0.0.1:{self.ports['http']}"
admin = "127.0.0.1:{self.ports['admin']}"
postgres = "127.0.0.1:{self.ports['postgres']}"
flight = "127.0.0.1:{self.ports['flight']}"
[query]
tls_certificate = "tls.pem"
tls_key = "tls.key"
[accounts.acme]
keys = ["the-key-of-the-acme"]
settings = "acme.json"
[accounts.beta]
keys = ["the-key-of-the-beta"]
settings = "beta.json"
""")
        self.said = open(self.path("said.log"), "w+")
        self.process = subprocess.Popen([binary, "query"], cwd=folder, env=self.env, stderr=self.said)
        for name in ("http", "postgres", "flight"):
            self.wait_for(self.ports[name])

    def path(self, name):
        return os.path.join(self.folder, name)

    def run(self, *arguments, said=None):
        done = subprocess.run([self.binary, *arguments], cwd=self.folder, env=self.env, input=said, capture_output=True,
                              text=True, timeout=300)
        if done.returncode != 0:
            sys.exit(f"callweave {' '.join(arguments)}: exit status {done.returncode}\n{done.stderr}")
        return done.stdout

    def login(self, name, role, password):
        return json.loads(self.run("login", name, "--role", role, said=password + "\n"))

    def sql(self, query):
        return json.loads(self.run("sql", "--lake", "lake", "--format", "json", query))

    def wait_for(self, port):
        end = time.monotonic() + 60
        while time.monotonic() < end and self.process.poll() is None:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                return
        self.said.seek(0)
        sys.exit(f"nothing listens on {port}\n{self.said.read()}")

    def dsn(self, user, database="callweave", mode="disable"):
        return f"host=127.0.0.1 port={self.ports['postgres']} user={user} password='password of {user.split('@')[0]}' dbname={database} sslmode={mode} sslrootcert={self.path('tls.pem')}"

    def stop(self):
        self.process.terminate()
        status = self.process.wait(30)
        check("the server ends by itself when it is told to", status, 0)
        if status != 0:
            self.said.seek(0)
            print(self.said.read()[-4000:])


def free_port():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]


def psql(server, user, *commands):
    env = {**server.env, "PGPASSWORD": f"password of {user}", "PGSSLMODE": "disable"}
    arguments = [argument for command in commands for argument in ("-c", command)]
    done = subprocess.run(["psql", "-X", "-A", "-t", "-h", "127.0.0.1", "-p", str(server.ports["postgres"]), "-U", user, "callweave", *arguments],
                          env=env, capture_output=True, text=True, timeout=60)
    return done.stdout.strip() + done.stderr.strip()


def try_psql(server, calls):
    check("psql: rows", psql(server, "anna", "select count(*) from calls"), str(calls))
    tables = psql(server, "anna", r"\d")
    check(r"psql: \d lists what needs no schema", sorted(line.split("|")[1] for line in tables.splitlines()),
          sorted(["ad_costs", "call_candidates", "call_moments", "calls", "deals", "leases", "notes", "page_views", "rejected",
                  "sessions", "tags", "transcripts", "web_events"]))
    check(r"psql: \dt+ lists the tables and tells what they are", len([line for line in psql(server, "anna", r"\dt+").splitlines() if "|table|" in line]), 13)
    check(r"psql: \dt lists no views", psql(server, "anna", r"\dt marts.*"), 'Did not find any relation named "marts.*".')
    check(r"psql: \dv lists them", "calls|view" in psql(server, "anna", r"\dv marts.*"), True)
    check(r"psql: \d of a table", "started_at|timestamp with time zone" in psql(server, "anna", r"\d calls"), True)
    check(r"psql: \dt+ of stored tables tells what they are", "One row a revision of a call" in psql(server, "anna", r"\dt+ history.*"), True)
    check(r"psql: \d+ tells what columns are", "The first ring." in psql(server, "anna", r"\d+ calls"), True)
    check(r"psql: \d+ of a view tells its SQL", "missed_step" in psql(server, "anna", r"\d+ marts.calls"), True)
    for command in (r"\dn+", r"\df+", r"\dv", r"\dv marts.*", r"\l+", r"\du+", r"\di", r"\dp", r"\dT", r"\dT+", r"\d calls", r"\d marts.calls", r"\dD", r"\do",
                    r"\da", r"\db", r"\dx", r"\dm", r"\dF", r"\dc", r"\dX", r"\dRp", r"\dy", r"\ddp", r"\sv marts.calls", r"\conninfo", r"\encoding"):
        check(f"psql: {command}", "ERROR" in psql(server, "anna", command), False)
    check("psql: an error has its place in words", "nothing" in psql(server, "anna", "select * from nothing"), True)
    script = "begin; declare c cursor for select call_id from calls order by call_id; fetch 2 from c; fetch 1 from c; close c; commit"
    expected = [row["call_id"] for row in server.sql("select call_id from calls where account = 'acme' order by call_id limit 3")]
    found = psql(server, "anna", *script.split("; "))
    check("psql: a cursor", [line for line in found.splitlines() if line in expected], expected)


def try_psycopg(server, calls):
    for mode in ("disable", "verify-ca"):
        with psycopg.connect(server.dsn("anna", mode=mode)) as connection:
            check(f"psycopg, TLS {mode}", connection.execute("select count(*) from calls").fetchone(), (calls,))
    with psycopg.connect(server.dsn("mona@acme"), autocommit=True) as connection:
        for binary in (False, True):
            with connection.cursor(binary=binary) as cursor:
                cursor.execute("select call_id, started_at, talk_seconds, is_unique, date, candidates from calls where call_id > %s and talk_seconds >= %s order by call_id", ("", 0.0))
                rows = cursor.fetchall()
                mine = server.sql("select call_id, started_at, talk_seconds, is_unique, date, candidates from calls where account = 'acme' order by call_id")
                found = [{"call_id": a, "started_at": b.astimezone().timestamp(), "talk_seconds": c, "is_unique": d, "date": str(e), "candidates": f} for a, b, c, d, e, f in rows]
                for row in mine:
                    row["started_at"] = __import__("datetime").datetime.fromisoformat(row["started_at"].replace("Z", "+00:00")).timestamp()
                check(f"psycopg: every value with parameters, binary {binary}", found, mine)
        connection.execute("set application_name = 'x'")
        connection.execute("set timezone = 'Europe/Berlin'")
        # Days are cut in UTC whatever a client says, so that is what it is told.
        check("psycopg: show", connection.execute("show timezone").fetchone(), ("UTC",))
        check("psycopg: a zone changes nothing", connection.execute("select count(*) from calls where started_at < timestamptz '2026-11-03 00:00:00' and not started_at < '2026-11-03T00:00:00Z'").fetchone(), (0,))
        check_fails("psycopg: no zone", "22023", lambda: connection.execute("set timezone = 'Mars/Phobos'"))
        connection.execute("discard all")
        # A prepared statement sees what is there when it is run.
        for _ in range(7):
            found = connection.execute("select count(*) from calls", prepare=True).fetchone()
        check("psycopg: prepared", found, (calls,))
        connection.execute("set search_path = marts")
        check("psycopg: another schema", (connection.execute("show search_path").fetchone(), len(connection.execute("select missed_step from calls").fetchall())), (("marts",), calls))
        for value in (5, 7.25, None, 10**12, __import__("decimal").Decimal("7.49")):
            for binary in (False, True):
                found = connection.cursor(binary=binary).execute("select cast('7.5' as decimal(18, 6)) > %s", [value]).fetchone()
                check(f"psycopg: a decimal against {value!r}, binary {binary}", found, (None if value is None else 7.5 > value,))
        for reset in ("reset search_path", "discard all", "reset all"):
            connection.execute("set search_path = marts")
            connection.execute(reset)
            check(f"psycopg: {reset}", connection.execute("show search_path").fetchone() != ("marts",), True)
        connection.execute("set search_path = public")
        found = connection.execute("select sum(case when talk_seconds > 0 then 1 else 0.0 end) as n, 1 from calls where started_at >= "
                                   "to_timestamp('2026-11-01 00:00:00.000000', 'YYYY-MM-DD HH24:MI:SS.US')").fetchone()
        check("psycopg: a number that has to be made to fit", (type(found[0]), found[1]), (float, 1))
        with connection.transaction():
            check("psycopg: in a transaction", connection.execute("select 1").fetchone(), (1,))
        with connection.transaction(), connection.cursor(name="server_side") as cursor:
            cursor.itersize = 10
            cursor.execute("select call_id from calls")
            check("psycopg: a named cursor", len(cursor.fetchall()), calls)
        with connection.transaction():
            with contextlib.suppress(psycopg.Error), connection.transaction():
                connection.execute("select nonsense")
            check("psycopg: back to a savepoint", (connection.info.transaction_status.name, connection.execute("select 6").fetchone()), ("INTRANS", (6,)))
        check("psycopg: to_char", connection.execute("select to_char(timestamp '2026-11-03 04:05:06', 'YYYY-MM-DD HH24:MI \"Q\"Q')").fetchone(), ("2026-11-03 04:05 Q4",))
        check_fails("psycopg: to_char, a pattern that is not known", "no pattern", lambda: connection.execute("select to_char(started_at, 'MONTH') from calls"))
        seconds = connection.execute("select sum(extract(epoch from ended_at - started_at)), sum(total_seconds) from calls").fetchone()
        check("psycopg: seconds with their fractions", round(seconds[0] - seconds[1], 3), 0)
        for told, kept in (("1h", "3600000ms"), ("1min", "60000ms"), ("250", "250ms"), ("0", "0")):
            connection.execute(f"set statement_timeout = '{told}'")
            check(f"psycopg: statement_timeout {told}", connection.execute("show statement_timeout").fetchone(), (kept,))
        check_fails("psycopg: statement_timeout, no time", "22023", lambda: connection.execute("set statement_timeout = 'abc'"))
        # What a tree of the engine would be deep of took the process's stack, or its time.
        many = ",".join(f"'{at}'" for at in range(20_000))
        check("psycopg: a long list", connection.execute(f"select count(*) from calls where call_id in ({many})").fetchone(), (0,))
        in_visits = "select count(*) from calls where source in (select source from sessions)"
        check("psycopg: = any of a subquery", connection.execute(in_visits.replace(" in (", " = any (")).fetchone(), connection.execute(in_visits).fetchone())
        check("psycopg: a long list as a parameter", connection.execute("select count(*) from calls where call_id = any(%s)", ([str(at) for at in range(20_000)],)).fetchone(), (0,))
        check("psycopg: a chain", connection.execute("select " + "+".join(["1"] * 900)).fetchone(), (900,))
        for name, deep in {"sums": "+".join(["1"] * 5000), "unions": " union all select ".join(["1"] * 5000), "functions": "abs(" * 40 + "1" + ")" * 40}.items():
            check_fails(f"psycopg: too many {name}", "54001", lambda: connection.execute("select " + deep))
        endless = "select max(value) from generate_series(1, 1000000000000)"
        timer = threading.Timer(0.5, connection.cancel)
        timer.start()
        check_fails("psycopg: cancel", "57014", lambda: connection.execute(endless))
        timer.join()
        check("psycopg: goes on after it", connection.execute("select 2").fetchone(), (2,))
        connection.execute("set statement_timeout = 300")
        check_fails("psycopg: statement_timeout", "57014", lambda: connection.execute(endless))
        connection.execute("set statement_timeout = 0")  # a slow machine takes longer for what follows
        for what, sql, state in [("a table that is not there", "select * from nothing", "42P01"), ("a column", "select nothing from calls", "42703"),
                                 ("a function", "select nothing(1)", "42883"), ("no SQL", "selec 1", "42601"), ("a cast", "select cast(call_id as int) from calls", "22P02"),
                                 ("a text of no number", "select 'x'::int", "22P02 Cannot cast"), ("no day", "select '2026-13-45'::date", "22008"), ("no time", "select count(*) from calls where started_at > 'abc'", "22007"),
                                 ("too large a number", "select 99999999999999::int", "22003"), ("a division", "select 1/0", "22012")]:
            check_fails(f"psycopg: {what}", state, lambda: connection.execute(sql))
    with psycopg.connect(server.dsn("anna")) as connection:
        check("psycopg: columns of what is selected from", connection.execute("select max(count), (select * from (select count(*) from calls) y) from (select call_id, count(*) from calls group by 1) x").fetchone(), (1, calls))
    with psycopg.connect(server.dsn("mona")) as connection:
        check_fails("psycopg: a mistake in a transaction", "42703", lambda: connection.execute("select nothing"))
        check_fails("psycopg: a failed transaction", "25P02", lambda: connection.execute("select 1"))
    check_fails("psycopg: a wrong password names its user", 'user "anna"', lambda: psycopg.connect(server.dsn("anna").replace("password of anna", "no password of hers")))
    for user, password in (("anna", "wrong password"), ("nobody", "password of anna"), ("anna@beta", "password of anna"), ("bert@acme", "password of bert")):
        check_fails(f"psycopg: {user} stays out", "authentication failed",
                    lambda: psycopg.connect(server.dsn(user).replace(f"password of {user.split('@')[0]}", password)))


def try_sqlalchemy(server, calls):
    engine = sqlalchemy.create_engine(f"postgresql+psycopg://mona:password%20of%20mona@127.0.0.1:{server.ports['postgres']}/acme")
    inspector = sqlalchemy.inspect(engine)
    check("sqlalchemy: schemas", {"public", "marts", "history"} <= set(inspector.get_schema_names()), True)
    check("sqlalchemy: tables of a schema", "calls" in inspector.get_table_names(schema="history"), True)
    check("sqlalchemy: tables that count, and views", ("calls" in inspector.get_table_names(), "calls" in inspector.get_view_names(schema="marts")), (True, True))
    for schema in ("public", "marts", "history"):
        columns = {column["name"]: column for column in inspector.get_columns("calls", schema=schema)}
        check(f"sqlalchemy: columns of {schema}.calls", (str(columns["started_at"]["type"]), columns["account"]["comment"]), ("TIMESTAMP", "The tenant."))
        check(f"sqlalchemy: no keys of {schema}.calls", inspector.get_pk_constraint("calls", schema=schema)["constrained_columns"], [])
        for what in ("foreign_keys", "indexes", "unique_constraints", "check_constraints"):
            check(f"sqlalchemy: no {what} of {schema}.calls", getattr(inspector, f"get_{what}")("calls", schema=schema), [])
        check(f"sqlalchemy: what {schema}.calls is", "all" in inspector.get_table_comment("calls", schema=schema)["text"], True)
    check("sqlalchemy: the SQL of a view", "FROM" in inspector.get_view_definition("calls", schema="marts"), True)
    everything = sqlalchemy.MetaData()
    everything.reflect(engine, schema="marts", views=True)
    check("sqlalchemy: a whole schema at once", len(everything.tables), 10)
    reflected = sqlalchemy.Table("calls", sqlalchemy.MetaData(), autoload_with=engine, schema="marts")
    check("sqlalchemy: a query on what it found", engine.connect().execute(sqlalchemy.select(sqlalchemy.func.count()).select_from(reflected)).scalar(), calls)
    with engine.connect() as connection:
        calls_table = sqlalchemy.table("calls", sqlalchemy.column("source"), sqlalchemy.column("call_id"))
        query = sqlalchemy.select(calls_table.c.source, sqlalchemy.func.count()).group_by(calls_table.c.source)
        check("sqlalchemy: a query", sum(count for _, count in connection.execute(query)), calls)


def try_asyncpg(server, calls):
    async def work():
        connection = await asyncpg.connect(host="127.0.0.1", port=server.ports["postgres"], user="mona", password="password of mona", database="acme")
        rows = await connection.fetch("select call_id, started_at, talk_seconds from calls where talk_seconds >= $1", 0.0)
        check("asyncpg: rows with a parameter", len(rows), calls)
        async with connection.transaction():
            seen = [row async for row in connection.cursor("select call_id from calls", prefetch=50)]
        check("asyncpg: a cursor", len(seen), calls)
        await connection.close()
        pool = await asyncpg.create_pool(host="127.0.0.1", port=server.ports["postgres"], user="mona", password="password of mona", database="acme", min_size=4, max_size=8)
        results = await asyncio.gather(*[pool.fetchval("select count(*) from calls") for _ in range(32)])
        check("asyncpg: 32 at once over a pool", results, [calls] * 32)
        await pool.close()

    asyncio.run(work())


def try_jdbc(server, calls):
    jars = glob.glob("/usr/share/java/postgresql*.jar")
    if not (jars and shutil.which("javac")):
        print("left out: JDBC (needs a JDK and libpostgresql-jdbc-java)")
        return
    with open(server.path("Ask.java"), "w") as file:
        file.write("""
import java.sql.*;
public class Ask {
  public static void main(String[] a) throws Exception {
    try (Connection c = DriverManager.getConnection(a[0], "mona", "password of mona")) {
      DatabaseMetaData m = c.getMetaData();
      int tables = 0, columns = 0;
      try (ResultSet r = m.getTables(null, "public", "%", new String[]{"TABLE", "VIEW"})) { while (r.next()) tables++; }
      try (ResultSet r = m.getColumns(null, "public", "calls", "%")) { while (r.next()) columns++; }
      int rows = 0;
      for (int again = 0; again < 7; again++) {
        rows = 0;
        try (PreparedStatement s = c.prepareStatement("select call_id, started_at, talk_seconds, date, candidates from calls where talk_seconds >= ? and call_id > ?")) {
          s.setDouble(1, 0); s.setString(2, "");
          try (ResultSet r = s.executeQuery()) { while (r.next()) { r.getTimestamp(2); r.getDouble(3); r.getDate(4); r.getInt(5); rows++; } }
        }
      }
      c.setAutoCommit(false);
      int fetched = 0;
      try (Statement s = c.createStatement()) {
        s.setFetchSize(10);
        try (ResultSet r = s.executeQuery("select call_id from calls")) { while (r.next()) fetched++; }
      }
      c.commit();
      System.out.println(tables + " " + (columns > 50) + " " + rows + " " + fetched);
    }
  }
}""")
    subprocess.run(["javac", "Ask.java"], cwd=server.folder, check=True)
    url = f"jdbc:postgresql://127.0.0.1:{server.ports['postgres']}/acme?sslmode=disable"
    done = subprocess.run(["java", "-cp", f"{server.folder}:{jars[0]}", "Ask", url], cwd=server.folder, capture_output=True, text=True)
    check("JDBC: tables, columns, prepared rows (binary from the fifth on), rows by ten", (done.stdout.strip(), done.stderr[-600:]), (f"13 true {calls} {calls}", ""))


def try_odbc(server, calls):
    try:
        import pyodbc
    except ImportError:
        print("left out: ODBC (needs pyodbc and odbc-postgresql)")
        return
    drivers = [name for name in pyodbc.drivers() if "PostgreSQL" in name and "Unicode" in name]
    if not drivers:
        print("left out: ODBC (needs odbc-postgresql)")
        return
    text = f"DRIVER={{{drivers[0]}}};SERVER=127.0.0.1;PORT={server.ports['postgres']};DATABASE=acme;UID=mona;PWD=password of mona;SSLmode=disable"
    connection = pyodbc.connect(text, autocommit=True)
    cursor = connection.cursor()
    check("ODBC: rows", cursor.execute("select count(*) from calls where talk_seconds >= ?", 0.0).fetchone()[0], calls)
    with_cursors = pyodbc.connect(text + ";UseDeclareFetch=1;Fetch=10")
    check("ODBC: by a cursor of the server's", len(with_cursors.cursor().execute("select call_id from calls").fetchall()), calls)
    with_cursors.close()
    check("ODBC: tables", "calls" in [row.table_name for row in cursor.tables(schema="public")], True)
    check("ODBC: columns", len(cursor.columns(table="calls", schema="public").fetchall()) > 50, True)
    connection.close()


def flight(server, user, password=None):
    options = {"username": user, "password": password or f"password of {user.split('@')[0]}",
               adbc_driver_flightsql.DatabaseOptions.TLS_SKIP_VERIFY.value: "true"}
    return adbc_driver_flightsql.dbapi.connect(f"grpc+tls://127.0.0.1:{server.ports['flight']}", db_kwargs=options, autocommit=True)


def try_flight(server, calls):
    # The driver leaves the padding out of what it logs in with: every length has to do.
    for user in ("mona", "mona@acme", "anna@acme"):
        with flight(server, user) as connection, connection.cursor() as cursor:
            cursor.execute("select count(*) from calls")
            check(f"flight: a login as {user}", cursor.fetchall(), [(calls,)])
    with flight(server, "mona") as connection, connection.cursor() as cursor:
        cursor.execute("select * from calls order by call_id")
        table = cursor.fetch_arrow_table()
        check("flight: rows", table.num_rows, calls)
        check("flight: text is utf8", str(table.schema.field("call_id").type), "string")
        check("flight: into pandas", len(table.to_pandas()), calls)
        check("flight: into polars", polars.from_arrow(table).height, calls)
        cursor.execute("select call_id from calls where call_id = $1 and talk_seconds >= $2", (table["call_id"][3].as_py(), 0.0))
        check("flight: a prepared statement with values", cursor.fetchall(), [(table["call_id"][3].as_py(),)])
        cursor.execute("select call_id from calls where call_id = ? and talk_seconds >= ? and '?' <> call_id -- ?", (table["call_id"][3].as_py(), 0.0))
        check("flight: parameters as ADBC's DB-API writes them", cursor.fetchall(), [(table["call_id"][3].as_py(),)])
        check_fails("flight: parameters of two kinds", "in one way", lambda: cursor.execute("select call_id from calls where call_id = ? and talk_seconds > $2", ("a", 0.0)))
        info = connection.adbc_get_info()
        check("flight: the current catalog and schema", (connection.adbc_current_catalog, connection.adbc_current_db_schema), ("callweave", "public"))
        check_fails("flight: another catalog", "catalog", lambda: setattr(connection, "adbc_current_catalog", "other"))
        check_fails("flight: nothing is executed many times", "ask with `execute`, once for each", lambda: cursor.executemany("select call_id from calls where call_id = $1", [("a",), ("b",)]))
        check_fails("flight: no updates", "read-only", lambda: cursor.executemany("delete from calls", None))
        check_fails("flight: statistics", "(?i)not.?(implemented|supported)", lambda: connection.adbc_get_statistics())
        check("flight: what the server is", info["vendor_name"], "callweave")
        check("flight: table types", sorted(connection.adbc_get_table_types()), ["TABLE", "VIEW"])
        objects = connection.adbc_get_objects(depth="all").read_all().to_pylist()
        schemas = {schema["db_schema_name"]: {table["table_name"] for table in schema["db_schema_tables"]} for schema in objects[0]["catalog_db_schemas"]}
        check("flight: catalog", (objects[0]["catalog_name"], "calls" in schemas["public"], "calls" in schemas["marts"]), ("callweave", True, True))
        check("flight: a table's columns", "started_at" in connection.adbc_get_table_schema("calls", db_schema_filter="public").names, True)
        for what, sql, words in [("no table", "select * from nothing", "not found"), ("no writing", "drop table calls", "read-only")]:
            check_fails(f"flight: {what}", words, lambda: cursor.execute(sql) or cursor.fetchall())
    check_fails("flight: a wrong password", "wrong", lambda: flight(server, "mona", "not the password").cursor().execute("select 1"))


def http_ask(server, user, body, path="/v1/sql", password=None, method="POST", **headers):
    connection = http.client.HTTPConnection("127.0.0.1", server.ports["http"], timeout=60)
    token = base64.b64encode(f"{user}:{password or 'password of ' + user.split('@')[0]}".encode()).decode()
    headers = {"Authorization": f"Basic {token}", "Content-Type": "application/json", **{name.replace("_", "-"): value for name, value in headers.items()}}
    connection.request(method, path, body if isinstance(body, (str, bytes, type(None))) else json.dumps(body), headers)
    response = connection.getresponse()
    return response.status, dict(response.getheaders()), response.read()


def problem(body):
    """The name of a problem (RFC 9457)."""
    return json.loads(body)["type"].removeprefix("urn:callweave:problem:")


def try_http(server, calls):
    status, headers, body = http_ask(server, "mona", {"sql": "select call_id, started_at from calls order by call_id", "max_rows": 3})
    found = json.loads(body)
    check("http: json", (status, len(found["rows"]), found["row_count"], found["truncated"], headers["x-callweave-truncated"]), (200, 3, 3, True, "true"))
    check("http: columns", found["columns"][0], {"name": "call_id", "type": "Utf8"})
    status, headers, body = http_ask(server, "mona", {"sql": "select call_id from calls"}, Accept="text/csv")
    check("http: csv", (status, len(body.splitlines()), headers["x-callweave-truncated"]), (200, calls + 1, "false"))
    import pyarrow
    import pyarrow.parquet
    _, _, body = http_ask(server, "mona", {"sql": "select * from calls"}, Accept="application/vnd.apache.arrow.stream")
    check("http: arrow", pyarrow.ipc.open_stream(body).read_all().num_rows, calls)
    _, _, body = http_ask(server, "mona", {"sql": "select * from calls"}, path="/v1/sql?format=parquet")
    check("http: parquet", pyarrow.parquet.read_table(pyarrow.BufferReader(body)).num_rows, calls)
    _, _, body = http_ask(server, "mona", "select count(*) as n from calls", Content_Type="application/sql", Accept="application/x-ndjson")
    check("http: ndjson", json.loads(body), {"n": calls})
    _, _, body = http_ask(server, "mona", {"sql": "select a.call_id, b.call_id from calls a join calls b using (account, call_id)"}, Accept="text/csv")
    check("http: columns of one name are two in CSV", body.splitlines()[0], b"call_id,call_id")
    _, _, body = http_ask(server, "mona", {"sql": "select 1 as a, 2 as a"}, Accept="text/csv")
    check("http: two of one name are two in CSV", body.splitlines(), [b"a,a", b"1,2"])
    _, headers, _ = http_ask(server, "mona", {"sql": "select 1"}, Accept="text/csv;q=0.5, application/json;q=0.9")
    check("http: what is wanted most", headers["content-type"], "application/json")
    for path, method in (("/v1/sql", "GET"), ("/v1/calls", "POST")):
        status, headers, body = http_ask(server, "mona", None, path=path, method=method)
        check(f"http: {method} {path}", (status, "events" in json.loads(body)["detail"], bool(headers.get("allow"))), (405, False, True))
    for max_rows in (9, 10):
        status, headers, body = http_ask(server, "tiny", {"sql": "select event_id from page_views", "max_rows": max_rows})
        check(f"http: cut at {max_rows} of the login's 10 rows", (status, json.loads(body).get("row_count"), headers.get("x-callweave-truncated")), (200, max_rows, "true"))
    _, _, body = http_ask(server, "mona", {"sql": "select 1", "maxrows": 1})
    check("http: an unknown member is named", "maxrows" in json.loads(body)["detail"], True)
    for what, expected, request in [
        ("no SQL", (400, "sql"), {"body": {"sql": "selec 1"}}),
        ("two statements", (400, "bad-request"), {"body": {"sql": "select 1; select 2"}}),
        ("no JSON", (400, "bad-request"), {"body": "{"}),
        ("an unknown member", (400, "bad-request"), {"body": {"sql": "select 1", "maxrows": 1}}),
        ("an unknown parameter", (400, "bad-request"), {"body": {"sql": "select 1"}, "path": "/v1/sql?maxrows=1"}),
        ("columns of one name", (400, "same-name"), {"body": {"sql": "select a.call_id, b.call_id from calls a join calls b using (account)"}}),
        ("writing", (403, "read-only"), {"body": {"sql": "drop table calls"}}),
        ("a value", (422, "data"), {"body": {"sql": "select cast(call_id as int) from calls"}}),
        ("a format", (406, "format"), {"body": {"sql": "select 1"}, "Accept": "image/png"}),
        ("two columns of one name", (400, "same-name"), {"body": {"sql": "select 1 as a, 2 as a"}}),
        ("a compressed body", (415, "content-encoding"), {"body": b"\x1f\x8b", "Content_Encoding": "gzip", "Content_Type": "application/sql"}),
        ("a media type", (415, "media-type"), {"body": "x", "Content_Type": "text/html"}),
        ("a password", (401, "wrong-login"), {"body": {"sql": "select 1"}, "password": "not the password"}),
        ("too many rows for the login", (422, "rows"), {"body": {"sql": "select * from page_views"}, "user": "tiny"}),
    ]:
        status, _, body = http_ask(server, request.pop("user", "mona"), **request)
        check(f"http: an error of {what}", (status, problem(body)), expected)
    _, _, body = http_ask(server, "mona", None, path="/v1/openapi.json", method="GET")
    check("http: the document", {"/v1/sql", "/v1/calls"} <= set(json.loads(body)["paths"]), True)


def try_busy(server, calls):
    busy.try_busy(server, check, http_ask, problem, flight)


def try_guessing(server, calls):
    """The last to be tried: whose password was guessed at does not get in for a minute."""
    ask = {"user": "anna", "body": {"sql": "select 1"}}
    check("guessing: the right password before", http_ask(server, **ask)[0], 200)
    wrong = [http_ask(server, **ask, password=f"guess {at}")[0] for at in range(12)]
    check("guessing: ten are looked at", (wrong[0], wrong.index(429) <= 10, set(wrong[wrong.index(429):])), (401, True, {429}))
    status, headers, body = http_ask(server, **ask, password="one guess more")
    check("guessing: how long to wait", (status, problem(body), 0 < int(headers.get("retry-after", 0)) <= 61), (429, "wrong-logins", True))
    check("guessing: who was let in before goes on", http_ask(server, **ask)[0], 200)
    check_fails("guessing: nor over PostgreSQL's protocol, though it is right", "too many passwords", lambda: psycopg.connect(server.dsn("anna")))
    check_fails("guessing: nor over Flight SQL", "too many passwords", lambda: flight(server, "anna", "another guess").cursor().execute("select 1"))
    check("guessing: others do not wait", http_ask(server, "mona", {"sql": "select 1"})[0], 200)
    for at in range(12):
        with contextlib.suppress(psycopg.Error):
            psycopg.connect(server.dsn("bert").replace("password of bert", f"guess {at}")).close()
    check_fails("guessing: counted over PostgreSQL's protocol, too", "too many passwords", lambda: psycopg.connect(server.dsn("bert")))


def try_openapi(server, calls):
    """What the document says is what the server does, whatever is asked. Which text is SQL, and which place is still good, no
    schema can tell: so that all that fits the schema is accepted is not asked for."""
    token = base64.b64encode(b"mona@acme:password of mona").decode()
    url = f"http://127.0.0.1:{server.ports['http']}/v1/openapi.json"
    schemathesis = os.path.join(os.path.dirname(sys.executable), "schemathesis")
    done = subprocess.run([schemathesis, "run", url, "-H", f"Authorization: Basic {token}", "--checks", "all", "--exclude-checks",
                           "positive_data_acceptance", "--phases", "coverage,fuzzing", "--max-examples", "50", "--seed", "1", "--no-color"],
                          cwd=server.folder, capture_output=True, text=True, timeout=300)
    check(f"the OpenAPI document holds:\n{done.stdout[-6000:] if done.returncode else ''}", done.returncode, 0)


def calls_after(server, after, limit=1000, user="mona", **headers):
    """Every page behind `after`: the rows, and the place to go on from."""
    rows = []
    while True:
        at = f"&after={after}" if after else ""
        status, _, body = http_ask(server, user, None, path=f"/v1/calls?limit={limit}{at}", method="GET", **headers)
        page = json.loads(body)
        if status != 200:
            return page, after
        check("calls: no page is longer than asked", len(page["rows"]) <= limit, True)
        rows, after = rows + page["rows"], page["next"]
        if not page["more"]:
            return rows, after


def try_calls_after(server, calls):
    """Last, for it brings new events into the lake."""
    everything = server.sql("select * from calls where account = 'acme' order by call_id")
    rows, after = calls_after(server, None, 97)
    check("calls: all of the account, once", rows, everything)
    check("calls: nothing is new", calls_after(server, after)[0], [])
    status, headers, body = http_ask(server, "anna", None, path="/v1/calls?limit=2&format=csv", method="GET")
    check("calls: csv", (status, len(body.splitlines()), headers["x-callweave-more"], bool(headers["x-callweave-next"])), (200, 3, "true", True))
    for limit in ("", "limit=10&", "limit=3&"):
        status, _, body = http_ask(server, "few", None, path=f"/v1/calls?{limit}", method="GET")
        page = json.loads(body)
        check(f"calls: a login of ten rows, {limit}", (status, len(page.get("rows", ())), page.get("more")), (200, 3 if "3" in limit else 10, True))
    told = everything[0]["caller"]
    check("calls: masked for an analyst", told in json.dumps(calls_after(server, None, user="anna")[0]), False)

    # A call that is new but long over, another that ends otherwise than was known, and one of another account.
    first = everything[0]
    lines = []
    for account, call_id, source in [("acme", "late-1", "x"), ("acme", "late-2", "x"), ("beta", "late-3", "x")]:
        data = {"call_id": call_id, "direction": "inbound", "from": "+14155557777", "to": first["tracking_number"],
                "started_at": first["started_at"], "ended_at": first["started_at"], "outcome": "missed"}
        lines.append({"specversion": "1.0", "id": call_id, "source": source, "type": "call_record", "account": account,
                      "time": first["started_at"], "data": data})
    lines.append({"specversion": "1.0", "id": "tells-more", "source": "x", "type": "call", "account": "acme", "time": first["ended_at"] or first["started_at"],
                  "data": {"call_id": first["call_id"], "status": "ended", "direction": "inbound", "from": first["caller"],
                           "to": first["tracking_number"], "cause": "told later"}})
    with open(server.path("late.ndjson"), "w") as file:
        file.writelines(json.dumps(line) + "\n" for line in lines)
    server.run("run", "--input", "late.ndjson", "--lake", "lake")
    rows, later = calls_after(server, after)
    by_name = {row["call_id"]: row for row in rows}
    check("calls: what came late is new", ({"late-1", "late-2"} <= set(by_name), "late-3" in by_name), (True, False))
    now = {row["call_id"]: row for row in server.sql("select * from calls where account = 'acme'")}
    check("calls: as they are now", by_name, {name: now[name] for name in by_name})
    check("calls: page by page the same", sorted(row["call_id"] for row in calls_after(server, after, 1)[0]), sorted(by_name))
    known = {row["call_id"]: row for row in everything}
    check("calls: whoever keeps them by name has all", {**known, **by_name}, now)
    check("calls: and nothing again", calls_after(server, later)[0], [])
    for path, expected in [("after=x", (400, "bad-request")), ("limit=0", (400, "bad-request")), ("limit=1001", (400, "bad-request")),
                           ("aftr=1", (400, "bad-request")), ("after=123456789", (410, "gone")), ("format=png", (406, "format"))]:
        status, _, body = http_ask(server, "mona", None, path=f"/v1/calls?{path}", method="GET")
        check(f"calls: {path}", (status, problem(body)), expected)


def try_to_break_out(server, calls):
    """What one account's login may not see, whatever it says."""
    beta = {row["call_id"] for row in server.sql("select call_id from calls where account = 'beta'")}
    check("beta has calls", len(beta) > 0, True)
    phones = {row["caller"] for row in server.sql("select caller from calls where account = 'acme'")} - {"anonymous"}
    asked = [
        "select * from calls", "select * from history.calls", "select * from marts.calls", "select * from sessions",
        "select * from history.page_views", "select * from rejected", "select * from history.rejected", "select * from leases",
        "select * from calls where account = 'beta'", "select * from calls where account = 'beta' or true",
        "select * from history.calls where account <> 'acme'", "select * from (select * from calls) where 1 = 1",
        "with calls as (select * from history.calls) select * from calls", "select a.* from history.calls a full join history.calls b on true",
        "select max(account), min(account) from history.calls", "select count(distinct account) from history.sessions",
        "explain select * from history.calls where account = 'beta'", "explain analyze select * from history.calls",
        "explain verbose select * from history.calls", "show tables", "select * from information_schema.tables",
        "select * from information_schema.views", "select * from information_schema.df_settings", "select * from pg_catalog.pg_roles",
        "select * from pg_catalog.pg_stat_user_tables", "select * from pg_catalog.pg_settings", "describe calls",
        "select input_file_name() from calls", "select * from '/etc/passwd'", "select * from read_csv('/etc/passwd')",
        "select * from delta_scan('/etc')", "select pg_read_file('/etc/passwd')", "select getenv('HOME')", "copy calls to '/tmp/x'",
        "copy (select 1) to program 'id'", "create external table t stored as csv location '/etc/passwd'", "set datafusion.catalog.location = '/etc'",
        # What fails on a row of another account must not tell of it.
        "select cast(url as int) from history.page_views", "select 1 / (case when account = 'beta' then 0 else 1 end) from history.calls",
        "select * from history.calls where cast(case when account = 'beta' then call_id else '1' end as int) = 1",
        "select * from history.page_views where url like '%beta-secret%' and 1 / (case when account = 'beta' then 0 else 1 end) = 1",
        "select sum(case when account = 'beta' then 1 else 0 end) from history.calls",
        "select * from history.calls order by (case when account = 'beta' then 0 else 1 end) limit 5",
        "select array_agg(call_id) from history.calls", "select * from history.calls a where exists (select 1 from history.calls b where b.account <> a.account)",
    ]
    leaks = []
    with psycopg.connect(server.dsn("anna"), autocommit=True) as connection:
        for sql in asked:
            try:
                cursor = connection.execute(sql)
                said, is_error = json.dumps(cursor.fetchall(), default=str) if cursor.description else "", False
            except psycopg.Error as error:
                said, is_error = str(error), True
            # The words that were asked for may come back; rows may not.
            words = said.replace(sql, "")
            if "beta-secret" in words or '"beta"' in words or "root:" in words or any(phone in words for phone in phones) or server.folder in words:
                leaks.append((sql, words[:300]))
            if is_error and re.search("di(vision|vide) by zero", words, re.I):
                leaks.append((sql, words[:300]))
        check("nothing of another account, and no number, is told", leaks, [])
        check("an account's own rows are all there", connection.execute("select count(*), count(distinct account) from calls").fetchone(), (calls, 1))
        rows = connection.execute("select distinct caller from calls").fetchall()
        check("an analyst sees people by other names", all(name.startswith("person-") or name == "anonymous" for (name,) in rows), True)
        check("as many as there are", len(rows), len(phones) + len([1 for row in server.sql("select 1 as x from calls where account = 'acme' and caller = 'anonymous' limit 1")]))
        phone = sorted(phones)[0]
        check("no number can be looked for", connection.execute("select count(*) from history.calls where caller = %s", (phone,)).fetchone(), (0,))
        check("nor looked for in part", connection.execute("select count(*) from calls where caller like '+%'").fetchone(), (0,))
        for table, column in [("page_views", "ip"), ("calls", "recording_url"), ("notes", "comment"), ("rejected", "raw"), ("web_events", "properties")]:
            check(f"{table}.{column} is empty", connection.execute(f"select count({column}) from history.{table}").fetchone(), (0,))
        for sql in ["insert into calls select * from calls", "delete from calls", "update calls set caller = ''", "drop view calls", "create table x as select 1",
                    "truncate calls", "vacuum", "call x()", "grant select on calls to anna", "copy calls from '/etc/passwd'", "explain analyze delete from calls",
                    "with x as (delete from calls returning *) select * from x", "select * into x from calls", "declare c cursor for insert into calls select * from calls"]:
            check_fails(f"read-only: {sql}", "25006|42601|42P01|22023", lambda: connection.execute(sql))
    with psycopg.connect(server.dsn("mona"), autocommit=True) as connection:
        check("a manager sees numbers", connection.execute("select count(*) from calls where caller = %s", (phone,)).fetchone()[0] > 0, True)
    with psycopg.connect(server.dsn("tiny"), autocommit=True) as connection:
        check_fails("bounds: rows", "54000", lambda: connection.execute("select * from page_views").fetchall())
        check("bounds: a LIMIT is enough", len(connection.execute("select * from page_views limit 10").fetchall()), 10)
        endless = "select count(*) from page_views a, page_views b, page_views c where a.url < b.url and b.url < c.url"
        check_fails("bounds: memory", "53200", lambda: connection.execute("select url, array_agg(title || url) from page_views group by 1 order by 2"))
        check_fails("bounds: memory of a join", "53200|XX000|57014", lambda: connection.execute(endless))
        check("bounds: goes on after all that", connection.execute("select 3").fetchone(), (3,))
    with psycopg.connect(server.dsn("slow"), autocommit=True) as connection:
        endless = "select max(value) from generate_series(1, 1000000000000)"
        check_fails("bounds: time", "57014", lambda: connection.execute(endless))


def try_dialect(server, calls):
    dialect.try_dialect(server, calls, check, check_fails)


def try_entry(server, calls):
    entry.try_entry(server, check, check_fails)


def main():
    binary = os.path.abspath(sys.argv[1])
    with tempfile.TemporaryDirectory(prefix="callweave-sql-") as folder:
        server = Server(binary, folder)
        calls = server.sql("select count(*) as n from calls where account = 'acme'")[0]["n"]
        try:
            for attempt in (try_psql, try_psycopg, try_dialect, try_sqlalchemy, try_asyncpg, try_jdbc, try_odbc, try_flight, try_http, try_busy, try_openapi, try_to_break_out, try_calls_after, try_entry, try_guessing):
                try:
                    attempt(server, calls)
                except Exception as error:  # one client must not hide what the others find
                    import traceback
                    traceback.print_exc()
                    check(f"{attempt.__name__} gets to its end", repr(error), None)
        finally:
            server.stop()
    print(f"{COUNTS['passed']} passed, {COUNTS['failed']} failed")
    return 1 if COUNTS["failed"] else 0


if __name__ == "__main__":
    sys.exit(main())
