#!/usr/bin/env python3
"""Webhooks as receivers of other people's making see them: signatures verified by `standardwebhooks`, events read by the CloudEvents
SDK, server-sent events by a plain HTTP client.

    webhooks.py BINARY        (needs standardwebhooks and cloudevents; tests/run installs them)

`callweave up` runs with two subscriptions, one with two secrets of its own and one whose secret callweave made. The last line is
`N passed, N failed`.
"""

import base64
import datetime
import http.client
import http.server
import json
import os
import queue
import subprocess
import sys
import tempfile
import threading
import urllib.parse

import standardwebhooks
from cloudevents.v1.http import from_http

KEY = "the-key-of-acme-for-tests"
SECRETS = ["whsec_" + base64.b64encode(bytes([at] * 32)).decode() for at in (1, 2)]
PATIENCE = 60
COUNTS = {"passed": 0, "failed": 0}


def check(what, is_so, seen=""):
    COUNTS["passed" if is_so else "failed"] += 1
    if not is_so:
        print(f"FAILED: {what}: {seen!r:.600}")


class Receiver(http.server.BaseHTTPRequestHandler):
    got = queue.Queue()

    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        Receiver.got.put((self.path, dict(self.headers), body))
        self.send_response(204)
        self.end_headers()

    def log_message(self, *arguments):
        pass


def configure(folder, port):
    hook = f"http://127.0.0.1:{port}"
    webhooks = [
        {"name": "own", "url": f"{hook}/own", "secrets": SECRETS, "ordered": True},
        {"name": "made", "url": f"{hook}/made", "encoding": "form", "fields": ["moment", "call_id", "caller"]},
    ]
    with open(os.path.join(folder, "acme.json"), "w") as file:
        json.dump({"lateness_seconds": 1, "webhooks": webhooks}, file)
    with open(os.path.join(folder, "callweave.toml"), "w") as file:
        file.write(f"""notify.allow = ["127.0.0.0/8"]
[accounts.acme]
keys = ["{KEY}"]
settings = "acme.json"
""")


def start(binary, folder):
    kept = {name: value for name, value in os.environ.items() if not name.startswith("CALLWEAVE_")}
    arguments = ["up", "--data", "data", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--log-format", "json"]
    program = subprocess.Popen([binary, *arguments], cwd=folder, env=kept, stderr=subprocess.PIPE, text=True)
    for line in program.stderr:
        address = json.loads(line).get("collect") if line.startswith("{") else None
        if address:
            threading.Thread(target=program.stderr.read, daemon=True).start()
            return program, address
    sys.exit("it does not listen")


def ask(address, method, path, body=None):
    connection = http.client.HTTPConnection(address, timeout=PATIENCE)
    connection.request(method, path, body, {"authorization": f"Bearer {KEY}", "content-type": "application/json"})
    answer = connection.getresponse()
    return answer.status, json.loads(answer.read())


def step(status):
    now = datetime.datetime.now(datetime.timezone.utc).isoformat()
    data = {"call_id": "c1", "status": status, "direction": "inbound", "from": "+14155550199", "to": "+14155550100"}
    return {"specversion": "1.0", "id": f"c1-{status}", "source": "pbx", "type": "call", "time": now, "account": "acme",
            "data": data}


def verifies(secret, headers, body, **options):
    try:
        standardwebhooks.Webhook(secret).verify(body, headers, **options)
        return True
    except standardwebhooks.WebhookVerificationError:
        return False


def listen(address, events):
    """The first two server-sent events of the account."""
    connection = http.client.HTTPConnection(address, timeout=PATIENCE)
    connection.request("GET", "/v1/stream", headers={"authorization": f"Bearer {KEY}"})
    answer, count = connection.getresponse(), 0
    for line in answer:
        line = line.decode().rstrip("\n")
        if line.startswith(": listening"):
            events.put("listening")
        if line.startswith("data: "):
            events.put(json.loads(line[6:]))
            count += 1
        if count == 2:
            return


def receive(address):
    events = queue.Queue()
    threading.Thread(target=listen, args=(address, events), daemon=True).start()
    check("a stream says that it listens", events.get(timeout=PATIENCE) == "listening")
    status, answer = ask(address, "GET", "/v1/webhooks/made/secret")
    check("the made secret is told", status == 200 and len(answer["secrets"]) == 1, answer)
    made = answer["secrets"][0]
    for status in ("started", "answered"):
        ask(address, "POST", "/v1/events", json.dumps(step(status)))
    own, forms = [], []
    while len(own) < 2 or len(forms) < 2:
        path, headers, body = Receiver.got.get(timeout=PATIENCE)
        if path == "/own":
            own.append((headers, body))
        else:
            forms.append((headers, body))
    for headers, body in own:
        for secret in SECRETS:
            check("each of two secrets verifies", verifies(secret, headers, body), headers)
        check("another secret does not", not verifies(made, headers, body))
        check("another body does not", not verifies(SECRETS[0], headers, body + b" "))
        event = from_http({name.lower(): value for name, value in headers.items()}, body)
        check("an event is of the account", event["account"] == "acme" and event["source"] == "callweave/acme", event)
        check("an event is of the call", event["subject"] == "c1" and event.data["caller"] == "+14155550199", event)
    moments = [json.loads(body)["type"] for _, body in own]
    check("moments come in order", moments == ["call.started", "call.answered"], moments)
    for headers, body in forms:
        check("the made secret verifies", verifies(made, headers, body, json_parse=False), headers)
        pairs = dict(urllib.parse.parse_qsl(body.decode()))
        check("a form has its fields", pairs["call_id"] == "c1" and pairs["caller"] == "+14155550199", pairs)
    told = [events.get(timeout=PATIENCE) for _ in range(2)]
    check("a stream tells the same", told == [json.loads(body) for _, body in own], told)


def main():
    binary = os.path.abspath(sys.argv[1])
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    with tempfile.TemporaryDirectory() as folder:
        configure(folder, server.server_port)
        program, address = start(binary, folder)
        try:
            receive(address)
        except queue.Empty:
            check("everything comes in time", False)
        finally:
            program.terminate()
            check("it ends well", program.wait(PATIENCE) == 0)
    print(f"{COUNTS['passed']} passed, {COUNTS['failed']} failed")
    sys.exit(1 if COUNTS["failed"] else 0)


if __name__ == "__main__":
    main()
