#!/usr/bin/env python3
"""From a telephone system's webhook to a subscriber: how soon `call.started` is told, beside page views, and how many are told a second.

    benches/hooks.py BINARY [--nats] [CALLS]       (a release build; 500 calls; --nats: with the `nats-server` of the path)

Calls come to `/v1/hooks/generic/acme/pbx`, one in 20 ms, beside 5,000 page views a second; ten webhooks of this process take what is told.
Then 2,000 calls at once. All of it runs on the same cores, Python too.
"""

import datetime
import http.client
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

SUBSCRIBERS, BACKGROUND, EVERY, FLOOD, BATCH = 10, 5_000, 0.02, 2_000, 100
KEY = "the-key-of-the-bench"
MAPPING = {
    "name": "pbx", "call_id": {"path": "id"}, "from": {"path": "from"}, "to": {"path": "to"}, "time": {"path": "at", "format": "epoch_ms"},
    "status": {"path": "event", "values": {"NEW": "started", "DOWN": "ended"}}, "direction": {"value": "inbound"},
}
came, count = {}, 0
lock = threading.Lock()


class Receiver(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        global count
        body = self.rfile.read(int(self.headers["content-length"])).decode()
        now = time.perf_counter()
        with lock:
            count += 1
            came.setdefault(body, now)
        self.send_response_only(204)
        self.end_headers()

    def log_message(self, *_):
        pass


def free_port():
    with socket.socket() as own:
        own.bind(("127.0.0.1", 0))
        return own.getsockname()[1]


def listens(port):
    while True:
        try:
            return socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            time.sleep(0.02)


def post(connection, path, body, kind):
    connection.request("POST", path, body, {"Authorization": f"Bearer {KEY}", "Content-Type": kind})
    answer = connection.getresponse()
    text = answer.read()
    assert answer.status == 200, (answer.status, text)


def background(port, stop):
    """In a process of its own, so that it does not share Python's lock with who measures."""
    connection, begun, sent = http.client.HTTPConnection("127.0.0.1", port), time.perf_counter(), 0
    while not os.path.exists(stop):
        now = datetime.datetime.now(datetime.timezone.utc).isoformat()
        line = '{"specversion":"1.0","id":"p%d","source":"web","type":"page_view","time":"' + now + '","account":"acme","data":{"visitor_id":"v%d","url":"https://example.com/%d"}}'
        post(connection, "/v1/events", "\n".join(line % (at, at % 20_000, at % 50) for at in range(sent, sent + BATCH)), "application/x-ndjson")
        sent += BATCH
        time.sleep(max(0, begun + sent / BACKGROUND - time.perf_counter()))
    print(f"{sent / (time.perf_counter() - begun):.0f} page views/s beside it")


def call(name):
    return json.dumps({"id": name, "from": "+14155550199", "to": "+14155550100", "event": "NEW", "at": int(time.time() * 1000)})


def wait(wanted):
    until = time.time() + 120
    while count < wanted:
        assert time.time() < until, f"{count} of {wanted} came"
        time.sleep(0.001)


def main():
    binary, calls = os.path.abspath(sys.argv[1]), int(next((it for it in sys.argv[2:] if it.isdigit()), 500))
    server = ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_port}/"
    running = []
    with tempfile.TemporaryDirectory() as folder:
        try:
            more, port = "", free_port()
            if "--nats" in sys.argv:
                nats = free_port()
                running.append(subprocess.Popen(["nats-server", "-js", "-a", "127.0.0.1", "-p", str(nats), "-sd", f"{folder}/js"], stderr=subprocess.DEVNULL))
                listens(nats)
                more = f'nats = "nats://127.0.0.1:{nats}"\n'
            hooks = [{"name": f"s{at}", "url": url, "moments": ["call.started"], "body": "{{call_id}}/%d" % at} for at in range(SUBSCRIBERS)]
            settings = {"mappings": [MAPPING], "webhooks": hooks, "numbers": [{"number": "+14155550100", "kind": "static", "source": "google", "medium": "cpc"}]}
            with open(f"{folder}/acme.json", "w") as file:
                json.dump(settings, file)
            with open(f"{folder}/callweave.toml", "w") as file:
                file.write(f'data = "data"\n{more}[listen]\ncollect = "127.0.0.1:{port}"\nadmin = "127.0.0.1:{free_port()}"\npostgres = "off"\nflight = "off"\n'
                           f'[notify]\nallow = ["127.0.0.0/8"]\n[accounts.acme]\nkeys = ["{KEY}"]\nsettings = "acme.json"\n')
            env = {name: value for name, value in os.environ.items() if not name.startswith("CALLWEAVE_")}
            program = subprocess.Popen([binary, "up"], cwd=folder, env=env, stderr=open(f"{folder}/log", "w"))
            running.append(program)
            listens(port)
            stop = f"{folder}/stop"
            load = subprocess.Popen([sys.executable, __file__, "--background", str(port), stop])
            running.append(load)
            time.sleep(3)
            connection, sent = http.client.HTTPConnection("127.0.0.1", port), {}
            for at in range(calls):
                body = call(f"c{at}")
                sent[at] = time.perf_counter()
                post(connection, "/v1/hooks/generic/acme/pbx", body, "application/json")
                time.sleep(max(0, sent[at] + EVERY - time.perf_counter()))
            wait(calls * SUBSCRIBERS)
            took = sorted((came[f"c{at}/{who}"] - sent[at]) * 1000 for at in range(calls) for who in range(SUBSCRIBERS))
            print(f"hook to subscriber, {calls} calls, {SUBSCRIBERS} subscribers: p50 {statistics.median(took):.1f} ms, p99 {took[len(took) * 99 // 100]:.1f} ms, most {took[-1]:.1f} ms")
            open(stop, "w").close()
            load.wait()
            before, begun = count, time.perf_counter()
            events = [{"specversion": "1.0", "id": f"f{at}", "source": "pbx", "type": "call", "time": datetime.datetime.now(datetime.timezone.utc).isoformat(), "account": "acme",
                       "data": {"call_id": f"f{at}", "status": "started", "direction": "inbound", "from": "+14155550199", "to": "+14155550100"}} for at in range(FLOOD)]
            post(connection, "/v1/events", "\n".join(map(json.dumps, events)), "application/x-ndjson")
            wait(before + FLOOD * SUBSCRIBERS)
            print(f"{FLOOD * SUBSCRIBERS / (time.perf_counter() - begun):.0f} deliveries/s to {SUBSCRIBERS} subscribers (Python takes them)")
            with open(f"/proc/{program.pid}/status") as file:
                print("memory at most", next(line.split()[1] for line in file if line.startswith("VmHWM")), "KiB")
        finally:
            for it in reversed(running):
                it.terminate()
                it.wait()


if __name__ == "__main__":
    background(int(sys.argv[2]), sys.argv[3]) if sys.argv[1] == "--background" else main()
