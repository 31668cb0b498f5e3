"""Queries that take all that a core gives, for sql.py, which has the server."""

import re
import subprocess
import threading

import psycopg

# For minutes: pairs of all page views, none of which is passed over.
PAIRS = "select count(*) from page_views a, page_views b where a.url < b.url and a.title || b.title <> 'x'"


def try_busy(server, check, http_ask, problem, flight):
    """What takes all that a core gives holds up nobody, and ends when its time is over, however it is asked."""
    def ask(way):
        try:
            if way == "http":
                found = http_ask(server, "slow", {"sql": PAIRS})
                return found[0], problem(found[2])
            if way == "flight":
                with flight(server, "slow") as connection, connection.cursor() as cursor:
                    cursor.execute(PAIRS)
                    return cursor.fetchall()
            with psycopg.connect(server.dsn("slow")) as connection:
                return connection.execute(PAIRS).fetchall()
        except Exception as error:  # every client has errors of its own
            return error.sqlstate if way == "postgres" else re.sub("(?s).*(took longer).*", r"\1", str(error))
    answers = {}
    threads = [threading.Thread(target=lambda way=way: answers.setdefault(way, ask(way))) for way in ("http", "flight", "postgres")]
    for thread in threads:
        thread.start()
    beside = 0
    while any(thread.is_alive() for thread in threads):
        check("busy: others are answered", http_ask(server, "mona", None, path="/v1/openapi.json", method="GET")[0], 200)
        beside += 1
    check("busy: more than once", beside > 2, True)
    check("busy: each is told in its way", answers, {"http": (422, "time"), "flight": "took longer", "postgres": "57014"})
    # Who goes away takes the query along: of this login there is one place.
    with psycopg.connect(server.dsn("alone"), autocommit=True) as other:
        gone = subprocess.Popen(["psql", "-X", "-q", server.dsn("alone"), "-c", PAIRS], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=server.env)
        other.execute("set statement_timeout = 500")
        def is_taken():
            try:
                other.execute("select 1")
                return False
            except psycopg.Error as error:
                return error.sqlstate == "53300"
        while not is_taken():
            check("busy: it goes on", gone.poll(), None)
        gone.kill()
        gone.wait()
        other.execute("set statement_timeout = 0")
        check("busy: a place is free again", other.execute("select 1").fetchone(), (1,))
