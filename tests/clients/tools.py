#!/usr/bin/env python3
"""What tools say to callweave's SQL that look around before they ask: Grafana's and Metabase's statements, replayed, and dbt itself; and
the tutorial of docs/sql.md.

    tools.py BINARY      (needs what sql.py needs; dbt with its PostgreSQL adapter where CALLWEAVE_DBT names it)

Grafana is not to be had from a package registry, so its data source is played: the statements of its start, of its query editor,
and every panel of deploy/grafana with macros filled in as its own code does. Metabase's are those of its sync. Each is sent as one
text and as a prepared statement, since tools do one or the other. The last line is `N passed, N failed`.
"""

import datetime
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile

import psycopg

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import sql  # noqa: E402
from sql import check  # noqa: E402

DEPLOY = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "deploy")

# grafana/grafana, public/app/plugins/datasource/grafana-postgresql-datasource/postgresMetaQuery.ts
IN_PATH = """
          quote_ident(table_schema) IN (
          SELECT
            CASE WHEN trim(s[i]) = '"$user"' THEN user ELSE trim(s[i]) END
          FROM
            generate_series(
              array_lower(string_to_array(current_setting('search_path'),','),1),
              array_upper(string_to_array(current_setting('search_path'),','),1)
            ) as i,
            string_to_array(current_setting('search_path'),',') s
          )"""
NOT_SHOWN = """('information_schema',
                             'pg_catalog',
                             '_timescaledb_cache',
                             '_timescaledb_catalog',
                             '_timescaledb_internal',
                             '_timescaledb_config',
                             'timescaledb_information',
                             'timescaledb_experimental')"""


def grafana_columns(table):
    return f"""SELECT quote_ident(column_name) AS "column", data_type AS "type"
    FROM information_schema.columns
    WHERE
      CASE WHEN array_length(parse_ident('{table}'),1) = 2
        THEN quote_ident(table_schema) = (parse_ident('{table}'))[1]
          AND quote_ident(table_name) = (parse_ident('{table}'))[2]
        ELSE quote_ident(table_name) = '{table}'
          AND {IN_PATH}
      END"""


GRAFANA = {
    "version": "SELECT current_setting('server_version_num')::int/100 as version",
    "timescale": "SELECT extversion FROM pg_extension WHERE extname = 'timescaledb'",
    "schemas": f'SELECT schema_name AS "name" FROM information_schema.schemata WHERE schema_name NOT IN {NOT_SHOWN} ORDER BY schema_name',
    "tables": """SELECT quote_ident(table_name) AS "table" FROM information_schema.tables WHERE quote_ident(table_schema) = 'marts' ORDER BY 1""",
    "all tables": f"""SELECT
    CASE WHEN {IN_PATH}
      THEN quote_ident(table_name)
      ELSE quote_ident(table_schema) || '.' || quote_ident(table_name)
    END AS "table"
    FROM information_schema.tables
    WHERE quote_ident(table_schema) NOT IN {NOT_SHOWN}
    ORDER BY CASE WHEN {IN_PATH} THEN 0 ELSE 1 END, 1""",
    "columns": grafana_columns("marts.calls"),
    "columns of the path": grafana_columns("calls"),
}

# metabase/metabase, src/metabase/driver/postgres.clj, as HoneySQL writes them.
METABASE = {
    "alive": "SELECT 1",
    "zone": "show timezone;",
    "privileges": r"""with table_privileges as (
 select
   NULL as role,
   t.schemaname as schema,
   t.objectname as table,
   pg_catalog.has_any_column_privilege(current_user, '"' || replace(t.schemaname, '"', '""') || '"' || '.' || '"' || replace(t.objectname, '"', '""') || '"',  'update') as update,
   pg_catalog.has_any_column_privilege(current_user, '"' || replace(t.schemaname, '"', '""') || '"' || '.' || '"' || replace(t.objectname, '"', '""') || '"',  'select') as select,
   pg_catalog.has_any_column_privilege(current_user, '"' || replace(t.schemaname, '"', '""') || '"' || '.' || '"' || replace(t.objectname, '"', '""') || '"',  'insert') as insert,
   pg_catalog.has_table_privilege(     current_user, '"' || replace(t.schemaname, '"', '""') || '"' || '.' || '"' || replace(t.objectname, '"', '""') || '"',  'delete') as delete
 from (
   select schemaname, tablename as objectname from pg_catalog.pg_tables
   union
   select schemaname, viewname as objectname from pg_catalog.pg_views
   union
   select schemaname, matviewname as objectname from pg_catalog.pg_matviews
 ) t
 where t.schemaname !~ '^pg_'
   and t.schemaname <> 'information_schema'
   and pg_catalog.has_schema_privilege(current_user, t.schemaname, 'usage')
)
select t.*
from table_privileges t""",
    "tables": """SELECT "n"."nspname" AS "schema", "c"."relname" AS "name", CASE "c"."relkind" WHEN 'r' THEN 'TABLE' WHEN 'p' THEN 'PARTITIONED TABLE' WHEN 'v' THEN 'VIEW'
 WHEN 'f' THEN 'FOREIGN TABLE' WHEN 'm' THEN 'MATERIALIZED VIEW' ELSE NULL END AS "type", "d"."description" AS "description", "stat"."n_live_tup" AS "estimated_row_count"
 FROM "pg_catalog"."pg_class" AS "c" INNER JOIN "pg_catalog"."pg_namespace" AS "n" ON "c"."relnamespace" = "n"."oid"
 LEFT JOIN "pg_catalog"."pg_description" AS "d" ON ("c"."oid" = "d"."objoid") AND ("d"."objsubid" = 0) AND ("d"."classoid" = 'pg_class'::regclass)
 LEFT JOIN "pg_stat_user_tables" AS "stat" ON ("n"."nspname" = "stat"."schemaname") AND ("c"."relname" = "stat"."relname")
 WHERE ("c"."relnamespace" = "n"."oid") AND ("n"."nspname" !~ '^pg_') AND ("n"."nspname" <> 'information_schema') AND c.relkind in ('r', 'p', 'v', 'f', 'm')
 AND ("n"."nspname" IN ('public', 'marts', 'history')) ORDER BY "type" ASC, "schema" ASC, "name" ASC""",
    "fields": """SELECT "c"."column_name" AS "name", CASE WHEN "c"."udt_schema" IN ('public', 'pg_catalog') THEN FORMAT('%s', "c"."udt_name") ELSE FORMAT('"%s"."%s"', "c"."udt_schema",
 "c"."udt_name") END AS "database-type", "c"."ordinal_position" - 1 AS "database-position", "c"."table_schema" AS "table-schema", "c"."table_name" AS "table-name",
 "pk"."column_name" IS NOT NULL AS "pk?", COL_DESCRIPTION(CAST(CAST(FORMAT('%I.%I', CAST("c"."table_schema" AS TEXT), CAST("c"."table_name" AS TEXT)) AS REGCLASS) AS OID),
 "c"."ordinal_position") AS "field-comment", (("column_default" IS NULL) OR (LOWER("column_default") = 'null')) AND ("is_nullable" = 'NO') AND NOT ((("column_default" IS NOT NULL)
 AND ("column_default" LIKE '%nextval(%')) OR ("is_identity" <> 'NO')) AS "database-required", (("column_default" IS NOT NULL) AND ("column_default" LIKE '%nextval(%'))
 OR ("is_identity" <> 'NO') AS "database-is-auto-increment" FROM "information_schema"."columns" AS "c" LEFT JOIN (SELECT "tc"."table_schema", "tc"."table_name", "kc"."column_name"
 FROM "information_schema"."table_constraints" AS "tc" INNER JOIN "information_schema"."key_column_usage" AS "kc" ON ("tc"."constraint_name" = "kc"."constraint_name")
 AND ("tc"."table_schema" = "kc"."table_schema") AND ("tc"."table_name" = "kc"."table_name") WHERE "tc"."constraint_type" = 'PRIMARY KEY') AS "pk"
 ON ("c"."table_schema" = "pk"."table_schema") AND ("c"."table_name" = "pk"."table_name") AND ("c"."column_name" = "pk"."column_name")
 WHERE c.table_schema !~ '^information_schema|catalog_history|pg_' AND ("c"."table_schema" IN ('marts')) UNION ALL SELECT "pa"."attname" AS "name",
 CASE WHEN "ptn"."nspname" IN ('public', 'pg_catalog') THEN FORMAT('%s', "pt"."typname") ELSE FORMAT('"%s"."%s"', "ptn"."nspname", "pt"."typname") END AS "database-type",
 "pa"."attnum" - 1 AS "database-position", "pn"."nspname" AS "table-schema", "pc"."relname" AS "table-name", FALSE AS "pk?", NULL AS "field-comment", FALSE AS "database-required",
 FALSE AS "database-is-auto-increment" FROM "pg_catalog"."pg_class" AS "pc" INNER JOIN "pg_catalog"."pg_namespace" AS "pn" ON "pn"."oid" = "pc"."relnamespace"
 INNER JOIN "pg_catalog"."pg_attribute" AS "pa" ON "pa"."attrelid" = "pc"."oid" INNER JOIN "pg_catalog"."pg_type" AS "pt" ON "pt"."oid" = "pa"."atttypid"
 INNER JOIN "pg_catalog"."pg_namespace" AS "ptn" ON "ptn"."oid" = "pt"."typnamespace" WHERE ("pc"."relkind" = 'm') AND ("pa"."attnum" >= 1) AND ("pn"."nspname" IN ('marts'))
 ORDER BY "table-schema" ASC, "table-name" ASC, "database-position" ASC""",
    "keys": """SELECT "fk_ns"."nspname" AS "fk-table-schema", "fk_table"."relname" AS "fk-table-name", "fk_column"."attname" AS "fk-column-name", "pk_ns"."nspname" AS "pk-table-schema",
 "pk_table"."relname" AS "pk-table-name", "pk_column"."attname" AS "pk-column-name" FROM "pg_constraint" AS "c" INNER JOIN "pg_class" AS "fk_table" ON "c"."conrelid" = "fk_table"."oid"
 INNER JOIN "pg_namespace" AS "fk_ns" ON "c"."connamespace" = "fk_ns"."oid" INNER JOIN "pg_attribute" AS "fk_column" ON "c"."conrelid" = "fk_column"."attrelid"
 INNER JOIN "pg_class" AS "pk_table" ON "c"."confrelid" = "pk_table"."oid" INNER JOIN "pg_namespace" AS "pk_ns" ON "pk_table"."relnamespace" = "pk_ns"."oid"
 INNER JOIN "pg_attribute" AS "pk_column" ON "c"."confrelid" = "pk_column"."attrelid" WHERE fk_ns.nspname !~ '^information_schema|catalog_history|pg_' AND ("c"."contype" = 'f'::char)
 AND ("fk_column"."attnum" = ANY(c.conkey)) AND ("pk_column"."attnum" = ANY(c.confkey)) AND ("fk_ns"."nspname" IN ('marts')) ORDER BY "fk-table-schema" ASC, "fk-table-name" ASC""",
    "enums": "SELECT nspname, typname FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace WHERE t.oid IN (SELECT DISTINCT enumtypid FROM pg_enum e)",
    "sample": 'SELECT "marts"."calls"."call_id" AS "call_id", "marts"."calls"."started_at" AS "started_at" FROM "marts"."calls" LIMIT 10000',
    "fingerprint": 'SELECT SUBSTRING("marts"."calls"."source", 1, 1234) AS "substring1", "marts"."calls"."talk_seconds" AS "talk_seconds" FROM "marts"."calls" LIMIT 10000',
    "values": 'SELECT "source"."channel" AS "channel" FROM (SELECT "marts"."calls"."channel" AS "channel" FROM "marts"."calls") AS "source" GROUP BY "source"."channel" ORDER BY "source"."channel" ASC LIMIT 1000',
    "by day": """SELECT CAST("marts"."calls"."started_at" AS date) AS "started_at", COUNT(*) AS "count" FROM "marts"."calls" WHERE ("marts"."calls"."started_at" >= DATE_TRUNC('month',
 CAST('2026-11-03 00:00:00' AS timestamp)) + INTERVAL '-1 month') GROUP BY CAST("marts"."calls"."started_at" AS date) ORDER BY CAST("marts"."calls"."started_at" AS date) ASC""",
    "by week": """SELECT DATE_TRUNC('week', "marts"."calls"."started_at") AS "started_at", SUM(CASE WHEN "marts"."calls"."is_target" = TRUE THEN 1 ELSE 0.0 END) AS "target" FROM "marts"."calls"
 GROUP BY DATE_TRUNC('week', "marts"."calls"."started_at") ORDER BY DATE_TRUNC('week', "marts"."calls"."started_at") ASC""",
    "by hour of day": """SELECT CAST(extract(hour from "marts"."calls"."started_at") AS integer) AS "hour", COUNT(*) FROM "marts"."calls"
 GROUP BY CAST(extract(hour from "marts"."calls"."started_at") AS integer) ORDER BY 1""",
}


def both_ways(connection, text):
    """The rows, the same by either protocol."""
    simple = connection.execute(text)
    names, rows = [column.name for column in simple.description], simple.fetchall()
    with connection.cursor(binary=True) as cursor:
        prepared = cursor.execute(text.replace("%", "%%"), (), prepare=True).fetchall()
    if sorted(map(str, rows)) != sorted(map(str, prepared)):
        raise AssertionError(f"as one text {rows!r:.300}, prepared {prepared!r:.300}")
    return [dict(zip(names, row)) for row in rows]


def replay(connection, what, text):
    try:
        return both_ways(connection, text)
    except Exception as error:  # one statement must not hide what the others find
        connection.rollback()
        check(what, f"{error}", "rows")
        return []


def macros(text, start, end, step):
    """As pkg/tsdb/grafana-postgresql-datasource/macros.go has it, for the macros that the dashboard uses."""
    stamp = lambda time: time.strftime("%Y-%m-%dT%H:%M:%SZ")  # noqa: E731
    text = text.replace("$__interval", f"{step}s")
    group = lambda found: f"floor(extract(epoch from {found[1]})/{step})*{step}"  # noqa: E731
    text = re.sub(r"\$__timeGroupAlias\((\w+), *\d+s(?:, *\w+)?\)", lambda found: group(found) + ' AS "time"', text)
    text = re.sub(r"\$__timeFilter\((\w+)\)", lambda found: f"{found[1]} BETWEEN '{stamp(start)}' AND '{stamp(end)}'", text)
    text = text.replace("$__timeFrom()", f"'{stamp(start)}'").replace("$__timeTo()", f"'{stamp(end)}'")
    return text


def try_grafana(server, calls):
    with psycopg.connect(server.dsn("mona"), autocommit=True) as connection:
        found = {what: replay(connection, f"Grafana: {what}", text) for what, text in GRAFANA.items()}
        check("Grafana: its version", found["version"], [{"version": 1600}])
        check("Grafana: schemas", [row["name"] for row in found["schemas"]], ["history", "marts", "public"])
        check("Grafana: tables of a schema", "touchpoints" in [row["table"] for row in found["tables"]], True)
        check("Grafana: all tables", {"marts.calls"} <= {row["table"] for row in found["all tables"]}, True)
        columns = {row["column"]: row["type"] for row in found["columns"]}
        check("Grafana: columns", ("channel" in columns, "started_at" in columns), (True, True))
        with open(os.path.join(DEPLOY, "grafana", "dashboards", "callweave.json")) as file:
            dashboard = json.load(file)
        variable = dashboard["templating"]["list"][0]
        channels = [row["channel"] for row in replay(connection, "Grafana: the variable", variable["query"])]
        check("Grafana: the variable's values", len(channels) > 2, True)
        quoted = ",".join("'" + channel.replace("'", "''") + "'" for channel in channels)
        start, end = datetime.datetime(2026, 11, 1), datetime.datetime(2026, 12, 1)
        shown = {}
        for panel in dashboard["panels"]:
            text = macros(panel["targets"][0]["rawSql"].replace("$channel", quoted), start, end, 3600)
            check(f"Grafana: no macro is left in {panel['title']}", "$" in text, False)
            shown[panel["title"]] = replay(connection, f"Grafana: {panel['title']}", text)
            if panel["title"] != "Numbers held":
                check(f"Grafana: {panel['title']} shows something", len(shown[panel["title"]]) > 0, True)
        inbound = server.sql("select sum(case when direction <> 'outbound' then 1 else 0 end) as n from marts.calls where account = 'acme'")[0]["n"]
        check("Grafana: all calls", shown["Calls"], [{"calls": inbound}])
        over_time = shown["Calls over time"]
        check("Grafana: over time they come to as many", sum(row["calls"] for row in over_time), inbound)
        check("Grafana: times are seconds", all(float(row["time"]) % 3600 == 0 for row in over_time), True)


def try_metabase(server, calls):
    with psycopg.connect(server.dsn("mona"), autocommit=True) as connection:
        found = {what: replay(connection, f"Metabase: {what}", text) for what, text in METABASE.items()}
        tables = {(row["schema"], row["name"]): row for row in found["tables"]}
        check("Metabase: tables", {("marts", "calls"), ("public", "calls"), ("history", "calls")} <= set(tables), True)
        told = tables.get(("marts", "calls"), {})
        check("Metabase: what a table is", (told.get("type"), (told.get("description") or "")[:5]), ("VIEW", "Calls"))
        readable = {(row["schema"], row["table"]) for row in found["privileges"] if row["select"]}
        check("Metabase: may read what it finds", set(tables) - readable, set())
        fields = [row for row in found["fields"] if row["table-name"] == "calls"]
        check("Metabase: fields", ("channel" in [row["name"] for row in fields], len(fields) > 50), (True, True))
        check("Metabase: rows", len(found["sample"]), calls)
        check("Metabase: by day", sum(row["count"] for row in found["by day"]), calls)


def try_dbt(server, calls):
    dbt = os.environ.get("CALLWEAVE_DBT")
    if not dbt:
        print("left out: dbt (needs CALLWEAVE_DBT)")
        return
    project = server.path("dbt")
    shutil.copytree(os.path.join(DEPLOY, "dbt"), project)
    env = {**server.env, "CALLWEAVE_PORT": str(server.ports["postgres"]), "CALLWEAVE_USER": "mona@acme", "CALLWEAVE_PASSWORD": "password of mona",
           "DBT_SEND_ANONYMOUS_USAGE_STATS": "false", "DO_NOT_TRACK": "1", "NO_COLOR": "1"}

    def run(*arguments):
        done = subprocess.run([dbt, *arguments], cwd=project, env=env, capture_output=True, text=True, timeout=300)
        return done.returncode, done.stdout + done.stderr

    status, said = run("debug")
    check("dbt: debug", (status, "All checks passed!" in said), (0, True))
    status, said = run("test")
    check("dbt: tests of sources and of a model", (status, re.findall(r"PASS=\d+ WARN=0 ERROR=0", said)), (0, ["PASS=9 WARN=0 ERROR=0"]))
    status, said = run("--quiet", "show", "--select", "calls_by_week", "--limit", "-1", "--output", "json")
    rows = json.loads(said[said.index("{"):])["show"] if status == 0 and "{" in said else said
    inbound = server.sql("select sum(case when direction <> 'outbound' then 1 else 0 end) as n from marts.calls where account = 'acme'")[0]["n"]
    check("dbt: a model on the marts", sum(int(float(row["calls"])) for row in rows) if isinstance(rows, list) else rows, inbound)
    status, said = run("run", "--select", "days")
    check("dbt: writing is refused, and why is told", (status, "read-only" in said), (1, True))


def try_tutorial(server, calls):
    """docs/sql.md, "From psql to a dashboard in five minutes", run as it is written but for the ports and Superset's own part."""
    with open(os.path.join(DEPLOY, "..", "docs", "sql.md")) as file:
        chapter = file.read().split("## From psql to a dashboard in five minutes")[1].split("In Python:")[0]
    script = "\n".join(line[4:] for line in chapter.splitlines() if line.startswith("    "))
    for port in ("5433", "8090"):
        script = script.replace(port, str(sql.free_port()))
    folder = server.path("tutorial")
    os.makedirs(os.path.join(folder, "bin"))
    os.symlink(server.binary, os.path.join(folder, "bin", "callweave"))
    os.symlink(os.path.abspath(DEPLOY), os.path.join(folder, "deploy"))
    with open(os.path.join(folder, "callweave.toml"), "w") as file:
        file.write('[listen]\nadmin = "127.0.0.1:0"\nflight = "off"\n')
    env = {**server.env, "PATH": f"{folder}/bin:{server.env['PATH']}", "PAGER": "cat"}
    script = f"set -eu\ntrap 'kill $(jobs -p)' EXIT\n{script}"
    done = subprocess.run(["bash", "-c", script], cwd=folder, env=env, capture_output=True, text=True, timeout=300)
    check("the tutorial: it ends well", (done.returncode, done.returncode and done.stderr[-1500:]), (0, 0))
    for what, pattern in [("tables", r"public \| calls"), ("comments", r"The first ring\."), ("an answer", r"google +\| spring-sale +\| +\d+ \| +\d+"),
                          ("over HTTP", r"day,calls\n2026-11-02,\d+\n2026-11-03,\d+"), ("the bundle", r"wrote callweave.zip")]:
        check(f"the tutorial: {what}", re.search(pattern, done.stdout) is not None, True)


def main():
    binary = os.path.abspath(sys.argv[1])
    with tempfile.TemporaryDirectory(prefix="callweave-tools-") as folder:
        server = sql.Server(binary, folder)
        calls = server.sql("select count(*) as n from calls where account = 'acme'")[0]["n"]
        try:
            for attempt in (try_grafana, try_metabase, try_dbt, try_tutorial):
                try:
                    attempt(server, calls)
                except Exception as error:
                    import traceback
                    traceback.print_exc()
                    check(f"{attempt.__name__} gets to its end", repr(error), None)
        finally:
            server.stop()
    print(f"{sql.COUNTS['passed']} passed, {sql.COUNTS['failed']} failed")
    return 1 if sql.COUNTS["failed"] else 0


if __name__ == "__main__":
    sys.exit(main())
