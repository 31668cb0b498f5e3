#!/usr/bin/env python3
"""Apache Superset, the real one, with the dashboard of deploy/superset.

    superset.py BINARY SUPERSET-VENV [IMAGE]

`tests/tools/superset` makes what it needs and starts it. Superset runs with a metadata database of its own in a temporary
folder, and is asked over its own API: the database is added, its schemas and tables are listed, each mart becomes a dataset, SQL Lab
and charts ask; then the bundle is imported, every chart of it asked, and the dashboard opened in Chromium, where no chart may show
an error. The last line is `N passed, N failed`.
"""

import contextlib
import glob
import json
import os
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
import uuid

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "clients"))
import sql  # noqa: E402  (the lake, its server and the counting are the same)
from sql import check  # noqa: E402

DEPLOY = os.path.join(HERE, "..", "..", "deploy", "superset")
MARTS = ["agents", "callers", "calls", "costs", "deals", "leases", "numbers", "pools", "sessions", "touchpoints"]
CONFIG = """
import os
HOME = os.environ["SUPERSET_HOME"]
SECRET_KEY = "of tests alone, and long enough to be let through"
SQLALCHEMY_DATABASE_URI = f"sqlite:///{HOME}/superset.db?check_same_thread=false"
WTF_CSRF_ENABLED = False
TALISMAN_ENABLED = False
"""
SECONDS_MAX = 300


class Superset:
    def __init__(self, venv, folder):
        self.folder, self.port, self.token = folder, sql.free_port(), None
        config = os.path.join(folder, "superset_config.py")
        with open(config, "w") as file:
            file.write(CONFIG)
        self.command = os.path.join(venv, "bin", "superset")
        self.env = {**os.environ, "SUPERSET_HOME": folder, "SUPERSET_CONFIG_PATH": config, "FLASK_APP": "superset"}
        self.log = open(os.path.join(folder, "superset.log"), "w+")
        self.run("db", "upgrade")
        self.run("fab", "create-admin", "--username", "admin", "--firstname", "A", "--lastname", "B", "--email", "admin@example.org", "--password", "admin")
        self.run("init")
        self.process = subprocess.Popen([self.command, "run", "-p", str(self.port), "--with-threads"], env=self.env, stdout=self.log, stderr=self.log)
        end = time.monotonic() + SECONDS_MAX
        while self.process.poll() is None and time.monotonic() < end:
            with contextlib.suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{self.port}/health", timeout=5):
                break
            time.sleep(0.5)
        self.token = self.ask("POST", "/security/login", {"username": "admin", "password": "admin", "provider": "db", "refresh": True})["access_token"]

    def run(self, *arguments):
        done = subprocess.run([self.command, *arguments], env=self.env, stdout=self.log, stderr=self.log, timeout=SECONDS_MAX)
        if done.returncode != 0:
            self.stop(f"superset {' '.join(arguments)}: exit status {done.returncode}")

    def stop(self, why=None):
        if getattr(self, "process", None):
            self.process.terminate()
            self.process.wait(30)
        if why:
            self.log.seek(0)
            sys.exit(f"{why}\n{self.log.read()[-4000:]}")

    def ask(self, method, path, body=None, kind="application/json"):
        data = body if isinstance(body, (bytes, type(None))) else json.dumps(body).encode()
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}/api/v1{path}", data, method=method,
                                         headers={"Content-Type": kind, "Accept": "application/json"})
        if self.token:
            request.add_header("Authorization", f"Bearer {self.token}")
        try:
            with urllib.request.urlopen(request, timeout=SECONDS_MAX) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            return {"error": f"{error.code} {error.read().decode(errors='replace')[:1500]}"}

    def upload(self, path, file, fields):
        mark = uuid.uuid4().hex
        parts = [f'--{mark}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode() for name, value in fields.items()]
        with open(file, "rb") as content:
            head = f'--{mark}\r\nContent-Disposition: form-data; name="formData"; filename="bundle.zip"\r\nContent-Type: application/zip\r\n\r\n'
            parts.append(head.encode() + content.read() + b"\r\n")
        return self.ask("POST", path, b"".join(parts) + f"--{mark}--\r\n".encode(), f"multipart/form-data; boundary={mark}")


def try_api(superset, server, uri, calls):
    made = superset.ask("POST", "/database/", {"database_name": "by hand", "sqlalchemy_uri": uri, "expose_in_sqllab": True})
    check("the database is added", made.get("error"), None)
    database = made.get("id")
    check("it is tested", superset.ask("POST", "/database/test_connection/", {"database_name": "again", "sqlalchemy_uri": uri}).get("message"), "OK")
    schemas = superset.ask("GET", f"/database/{database}/schemas/")
    check("schemas", {"history", "marts", "public"} <= set(schemas.get("result", [])), True)
    for schema, some in (("marts", MARTS), ("public", ["calls", "sessions"]), ("history", ["calls", "page_views"])):
        tables = superset.ask("GET", f"/database/{database}/tables/?q=(schema_name:{schema})")
        check(f"tables of {schema}", set(some) - {table["value"] for table in tables.get("result", [])}, set())
    table = superset.ask("GET", f"/database/{database}/table_metadata/?name=calls&schema=marts")
    columns = {column["name"]: column for column in table.get("columns", [])}
    check("columns of a table", ("started_at" in columns, columns.get("account", {}).get("comment")), (True, "The tenant."))
    # Those of the bundle are there already, and SQLite as Superset's own database has room for one of each name.
    datasets = {}
    for schema, name in (("marts", "agents"), ("marts", "callers"), ("marts", "numbers"), ("marts", "pools"), ("public", "call_moments"), ("history", "page_views")):
        dataset = superset.ask("POST", "/dataset/", {"database": database, "schema": schema, "table_name": name})
        check(f"{schema}.{name} becomes a dataset", dataset.get("error"), None)
        datasets[name] = dataset.get("id")
    views = server.sql("select count(*) as n from history.page_views where account = 'acme'")[0]["n"]
    lab = superset.ask("POST", "/sqllab/execute/", {"database_id": database, "schema": "marts", "sql": "select count(*) as n, count(missed_step) as m from calls", "runAsync": False, "select_as_cta": False})
    check("SQL Lab, in a schema", [row.get("n") for row in lab.get("data", [])], [calls])
    for grain in ("PT1H", "P1D", "P1W", "P1M", "P3M", "P1Y"):
        axis = {"columnType": "BASE_AXIS", "expressionType": "SQL", "label": "time", "sqlExpression": "time", "timeGrain": grain}
        query = {"columns": [axis], "metrics": [{"expressionType": "SQL", "sqlExpression": "count(*)", "label": "n"}], "orderby": [], "row_limit": 1000,
                 "filters": [{"col": "time", "op": "TEMPORAL_RANGE", "val": "2026-11-01 : 2027-01-01"}], "extras": {"time_grain_sqla": grain}}
        answer = superset.ask("POST", "/chart/data", {"datasource": {"id": datasets["page_views"], "type": "table"}, "queries": [query], "force": True})
        found = [row["n"] for result in answer.get("result", []) for row in result["data"]]
        check(f"a chart by time, {grain}", (sum(found), answer.get("error")), (views, None))


def try_bundle(superset, server, uri):
    bundle = os.path.join(superset.folder, "bundle.zip")
    subprocess.run([sys.executable, os.path.join(DEPLOY, "bundle.py"), "--uri", uri, "-o", bundle], check=True, stdout=subprocess.DEVNULL)
    password = {"databases/callweave.yaml": "password of mona"}
    done = superset.upload("/dashboard/import/", bundle, {"passwords": json.dumps(password), "overwrite": "true"})
    check("the bundle is imported", done.get("message"), "OK")
    charts = superset.ask("GET", "/dashboard/callweave/charts").get("result", [])
    check("with all of its charts", len(charts), len(glob.glob(os.path.join(DEPLOY, "charts", "*.yaml"))))
    datasets = superset.ask("GET", "/dashboard/callweave/datasets").get("result", [])
    for dataset in datasets:
        name = dataset["table_name"]
        metrics = [metric["metric_name"] for metric in superset.ask("GET", f"/dataset/{dataset['id']}")["result"]["metrics"]]
        answer = superset.ask("POST", "/chart/data", {"datasource": {"id": dataset["id"], "type": "table"}, "queries": [{"columns": [], "metrics": metrics}], "force": True})
        rows = [row for result in answer.get("result", []) for row in result["data"]]
        check(f"the measures of {name}", (len(rows), answer.get("error")), (1, None))
        if name == "calls" and rows:
            mine = server.sql("select sum(case when direction <> 'outbound' then 1 else 0 end) as calls, sum(case when is_target then 1 else 0 end) as target_calls, "
                              "sum(case when is_missed then 1 else 0 end) as missed from marts.calls where account = 'acme'")[0]
            check("they are those of the lake", {name: rows[0][name] for name in mine}, mine)


def try_browser(superset, image):
    done = subprocess.run(["node", os.path.join(HERE, "screenshot.mjs"), f"http://127.0.0.1:{superset.port}", image], capture_output=True, text=True, timeout=SECONDS_MAX)
    check("the dashboard shows every chart", done.stdout.strip() or done.stderr[-1500:], "charts: 10, errors: 0")
    check("the image is small", os.path.exists(image) and os.path.getsize(image) < 150_000, True)


def main():
    binary, venv = os.path.abspath(sys.argv[1]), os.path.abspath(sys.argv[2])
    with tempfile.TemporaryDirectory(prefix="callweave-superset-") as folder:
        image = os.path.abspath(sys.argv[3]) if len(sys.argv) > 3 else os.path.join(folder, "dashboard.png")
        server = sql.Server(binary, folder, ("--days", "7", "--visits-per-day", "700"))
        uri = f"postgresql+psycopg2://mona:password%20of%20mona@127.0.0.1:{server.ports['postgres']}/acme"
        calls = server.sql("select count(*) as n from marts.calls where account = 'acme'")[0]["n"]
        superset = None
        try:
            superset = Superset(venv, folder)
            try_bundle(superset, server, uri)
            try_api(superset, server, uri, calls)
            try_browser(superset, image)
        finally:
            if superset:
                superset.stop()
            server.stop()
    print(f"{sql.COUNTS['passed']} passed, {sql.COUNTS['failed']} failed")
    return 1 if sql.COUNTS["failed"] else 0


if __name__ == "__main__":
    sys.exit(main())
