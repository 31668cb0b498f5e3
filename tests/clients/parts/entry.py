"""Who a connection and a token are of, for as long as they are there; for sql.py, which has the server."""

import base64
import contextlib
import datetime
import http.client
import json
import os
import socket
import struct
import subprocess
import time
import uuid

import adbc_driver_flightsql.dbapi
import psycopg

# Open connections of one login (`OF_LOGIN_MAX`).
OF_LOGIN_MAX = 100
ASK = "select count(*) from calls"


def free_port():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]


class Up:
    """`callweave up` of the accounts acme and beta, whose logins are told by events."""

    def __init__(self, server):
        self.server, self.folder = server, os.path.join(server.folder, "entry")
        os.makedirs(self.folder)
        self.ports = {name: free_port() for name in ("collect", "admin", "postgres", "flight")}
        listen = "\n".join(f'{name} = "127.0.0.1:{port}"' for name, port in self.ports.items())
        accounts = "\n".join(f'[accounts.{name}]\nkeys = ["the-key-of-the-{name}"]' for name in ("acme", "beta"))
        with open(os.path.join(self.folder, "callweave.toml"), "w") as file:
            file.write(f'data = "data"\n[listen]\n{listen}\n{accounts}\n')
        self.said = open(os.path.join(self.folder, "said.log"), "w")
        self.process = subprocess.Popen([server.binary, "up"], cwd=self.folder, env=server.env, stdout=self.said, stderr=self.said)
        for name in ("collect", "postgres", "flight"):
            server.wait_for(self.ports[name])

    def post(self, account, *logins):
        """Settings with these logins and no others."""
        event = {"specversion": "1.0", "id": str(uuid.uuid4()), "source": "entry", "type": "account_settings", "account": account,
                 "time": datetime.datetime.now(datetime.timezone.utc).isoformat(), "data": {"logins": list(logins)}}
        end = time.monotonic() + 60
        while True:
            connection = http.client.HTTPConnection("127.0.0.1", self.ports["collect"], timeout=30)
            connection.request("POST", "/v1/events", json.dumps(event), {"Authorization": f"Bearer the-key-of-the-{account}", "Content-Type": "application/json"})
            response = connection.getresponse()
            body = response.read()
            if response.status == 200:
                return
            if time.monotonic() > end:
                raise AssertionError(f"settings: {response.status} {body[:300]}")

    def postgres(self, user, password, database="callweave"):
        return psycopg.connect(host="127.0.0.1", port=self.ports["postgres"], user=user, password=password, dbname=database, sslmode="disable", autocommit=True)

    def flight(self, user, password):
        """Over one handshake: what is asked later is asked with its token."""
        options = {"username": user, "password": password}
        return adbc_driver_flightsql.dbapi.connect(f"grpc://127.0.0.1:{self.ports['flight']}", db_kwargs=options, autocommit=True)

    def stop(self):
        self.process.terminate()
        self.process.wait(60)
        self.said.close()


def until(what, act, seconds=60):
    """What `act` gives once it does not fail. Once a second: ten wrong passwords are too many."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        with contextlib.suppress(psycopg.Error):
            return act()
        time.sleep(1)
    raise AssertionError(f"in {seconds} seconds not: {what}")


def end_of(ask, seconds=20):
    """The error that asking ends with, within that time."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            ask()
        except Exception as error:  # every client has errors of its own
            return str(error)
    return None


def told(found, words):
    return found is not None and words in found


def try_entry(server, check, check_fails):
    up = Up(server)
    try:
        try_names(server, up, check)
    finally:
        up.stop()
    try_strangers(server, check)
    try_many(server, check_fails)


def try_names(server, up, check):
    """A login stays what it was when it was let in, whoever has its name by then."""
    theirs, mine = server.login("bert", "manager", "password of beta's"), server.login("bert", "analyst", "password of acme's")
    mona = server.login("mona", "manager", "password of mona")
    up.post("beta", theirs)
    bare = until("bert of beta", lambda: up.postgres("bert", "password of beta's"))
    up.post("acme", mine, mona)
    opened = until("bert of acme", lambda: up.postgres("bert", "password of acme's", "acme"))
    with up.flight("bert@acme", "password of acme's") as token, up.postgres("mona@acme", "password of mona") as changed:
        def ask_flight():
            with token.cursor() as asked:
                asked.execute(ASK)
                return asked.fetchall()
        check("entry: both ways", (opened.execute(ASK).fetchone(), len(ask_flight())), ((0,), 1))
        check("entry: a name that two have lets nobody in", told(end_of(lambda: up.postgres("bert", "password of beta's").close()), "authentication failed"), True)
        check("entry: who came by a bare name stays though another gets it", bare.execute(ASK).fetchone(), (0,))
        changed.autocommit = False
        changed.execute("declare numbers cursor for select value from generate_series(1, 100)")
        check("entry: a cursor", len(changed.execute("fetch 2 from numbers").fetchall()), 2)
        up.post("acme", {**mona, "role": "analyst"})
        check("entry: postgres: taken out, and nobody else", told(end_of(lambda: opened.execute(ASK)), "no longer there"), True)
        check("entry: flight: taken out, and nobody else", told(end_of(ask_flight), "no longer there"), True)
        check("entry: a cursor ends with the role it was opened in", told(end_of(lambda: changed.execute("fetch 1 from numbers")), "does not exist"), True)
        changed.rollback()
        changed.autocommit = True
        check("entry: and the connection goes on", changed.execute(ASK).fetchone(), (0,))
        up.post("acme", server.login("mona", "manager", "another password"))
        check("entry: another password", told(end_of(lambda: changed.execute(ASK)), "password of the login"), True)
    check("entry: beta's bert is still there", bare.execute(ASK).fetchone(), (0,))
    bare.close()
    opened.close()


def try_strangers(server, check):
    """Nobody is answered before a password was right, not even after an error."""
    def frame(kind, body):
        return kind + struct.pack("!i", len(body) + 4) + body

    def read(stream):
        heard = b""
        with contextlib.suppress(OSError):
            while more := stream.recv(1 << 16):
                heard += more
        return heard

    startup = frame(b"", struct.pack("!i", 196608) + b"user\0alone@acme\0database\0callweave\0\0")
    question = frame(b"Q", b"select account, caller from calls limit 3\0")
    for what, first in [("without a word", b""), ("with another method", frame(b"p", b"NONE\0" + struct.pack("!i", -1))),
                        ("with no SCRAM", frame(b"p", b"SCRAM-SHA-256\0" + struct.pack("!i", 4) + b"none"))]:
        with socket.create_connection(("127.0.0.1", server.ports["postgres"]), 10) as stream:
            stream.sendall(startup + first + question)
            stream.shutdown(socket.SHUT_WR)
            heard = read(stream)
            check(f"entry: a question {what} is not answered", (b"acme" in heard.replace(b"alone@acme", b""), b"SELECT" in heard), (False, False))
    for at in range(12):
        with contextlib.suppress(psycopg.Error):
            psycopg.connect(server.dsn("alone").replace("password of alone", f"guess {at}")).close()
    with socket.create_connection(("127.0.0.1", server.ports["postgres"]), 10) as stream:
        hello = b"n,,n=,r=" + base64.b64encode(os.urandom(18))
        stream.sendall(startup + frame(b"p", b"SCRAM-SHA-256\0" + struct.pack("!i", len(hello)) + hello) + question)
        heard = read(stream)
        check("entry: nor after too many passwords", (b"too many passwords" in heard, b"FATAL" in heard, b"SELECT" in heard), (True, True, False))


def try_many(server, check_fails):
    """One login does not take the places of all."""
    with contextlib.ExitStack() as stack:
        for _ in range(OF_LOGIN_MAX):
            stack.enter_context(contextlib.closing(psycopg.connect(server.dsn("few"))))
        check_fails("entry: one connection of a login too many", "connections of this login are open", lambda: psycopg.connect(server.dsn("few")))
        psycopg.connect(server.dsn("tiny")).close()
    until("places are given back", lambda: psycopg.connect(server.dsn("few")).close())
