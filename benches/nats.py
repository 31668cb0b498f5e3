#!/usr/bin/env python3
"""From HTTP to a stream of NATS, and from there to committed Delta: events a second of each, the server included.

    benches/nats.py BINARY [EVENTS] [ACCOUNTS] [PARTITIONS]     (a release build; 1000000 events of 12 accounts in 2 partitions)

`collect` takes in a file of `simulate`, in requests of up to 8 MiB from one sender, and ends. Then `process` starts, joins all of it, and is
told to end, which commits what is left: its start, the last commits and a snapshot count, too; what is said beside that does not count its
start. The `nats-server` of the path, all on the same cores.
"""

import http.client
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request

from hooks import KEY, free_port, listens

CHUNK = 8 << 20


def metric(admin, name):
    """The sum over all labels; 0 as long as it is not told."""
    with urllib.request.urlopen(f"http://127.0.0.1:{admin}/metrics", timeout=30) as answer:
        found = re.findall(rf"^{name}(?:{{[^}}]*}})? (\S+)$", answer.read().decode(), re.M)
    return sum(map(float, found))


def chunks(path):
    with open(path, "rb") as file:
        while block := file.read(CHUNK):
            yield block + file.readline()


def end(program):
    program.send_signal(signal.SIGTERM)
    assert program.wait(120) == 0


def main():
    binary, numbers = os.path.abspath(sys.argv[1]), [int(it) for it in sys.argv[2:]]
    events, accounts, partitions = (numbers + [1_000_000, 12, 2][len(numbers):])[:3]
    names = [f"bench{at}" for at in range(accounts)]
    with tempfile.TemporaryDirectory() as folder:
        file, port, nats, admin = f"{folder}/events.ndjson", free_port(), free_port(), free_port()
        subprocess.run([binary, "simulate", "--seed", "1", "--events", str(events), "--account", ",".join(names), "-o", file], check=True, stderr=subprocess.DEVNULL)
        with open(f"{folder}/callweave.toml", "w") as config:
            config.write(f'data = "data"\nnats = "nats://127.0.0.1:{nats}"\npartitions = {partitions}\n[listen]\ncollect = "127.0.0.1:{port}"\nadmin = "127.0.0.1:{admin}"\n'
                         'postgres = "off"\nflight = "off"\n' + "".join(f'[accounts.{name}]\nkeys = ["{KEY}-{name}"]\n' for name in names))
        env = {name: value for name, value in os.environ.items() if not name.startswith("CALLWEAVE_")}
        running = []

        def start(*command):
            running.append(subprocess.Popen(command, cwd=folder, env=env, stderr=open(f"{folder}/log", "a")))
            return running[-1]

        try:
            start("nats-server", "-js", "-a", "127.0.0.1", "-p", str(nats), "-sd", f"{folder}/js")
            listens(nats)
            collect = start(binary, "collect")
            listens(port)
            connection, taken, began = http.client.HTTPConnection("127.0.0.1", port), 0, time.perf_counter()
            by_account = {name: [] for name in names}
            for chunk in chunks(file):
                for line in chunk.splitlines():
                    name = re.search(rb'"account":"(\w+)"', line).group(1).decode()
                    by_account[name].append(line)
                for name, lines in by_account.items():
                    if lines:
                        connection.request("POST", "/v1/events", b"\n".join(lines), {"Authorization": f"Bearer {KEY}-{name}", "Content-Type": "application/x-ndjson"})
                        answer = connection.getresponse()
                        text = answer.read()
                        assert answer.status == 200, (answer.status, text[:500])
                        taken += len(lines)
                        lines.clear()
            took = time.perf_counter() - began
            print(f"HTTP to acknowledged stream: {taken} events in {took:.2f} s, {taken / took:.0f} events/s (one sender, Python's own work counted)")
            end(collect)
            began = time.perf_counter()
            process = start(binary, "process")
            listens(admin)
            first = (began, 0)
            # Looking takes time from what is looked at: half of what is left is slept through.
            while (done := metric(admin, "callweave_join_events_total")) < taken:
                if done and not first[1]:
                    first = (time.perf_counter(), done)
                assert process.poll() is None, open(f"{folder}/log").read()[-2000:]
                left = (time.perf_counter() - began) * (taken - done) / done if done else 0.2
                time.sleep(max(0.02, min(left / 2, 1)))
            joined, rate = time.perf_counter() - began, (taken - first[1]) / (time.perf_counter() - first[0])
            end(process)
            took = time.perf_counter() - began
            print(f"stream to committed Delta: {taken} events in {took:.2f} s, {taken / took:.0f} events/s (joined after {joined:.2f} s; {rate:.0f} events/s once it had begun)")
        finally:
            for program in running:
                program.kill()
                program.wait()


main()
