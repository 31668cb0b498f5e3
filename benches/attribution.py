#!/usr/bin/env python3
"""How good attribution is on parameters that nothing was chosen by: sets drawn at random, on half-empty, full and overfull pools.

    benches/attribution.py BINARY [CALLS] [SETS] [UTILISATIONS]       (30000 PQRST 0.5,1,2: one to three minutes each with a release build)

Each set is one row of the table that is printed, made by `simulate` and `evaluate`: calls to leased numbers, accuracy and how it compares with the
Bayes-optimal answer's, expected calibration error (15 bins) of sessions, of the optimum's and of sources, and the accuracy of the plain ways to answer.
"""

import os
import random
import re
import subprocess
import sys
import tempfile

SEED = 601


def drawn():
    """Sets by their letters; H to J were looked at when the model was last changed, K to O when another fit was tried."""
    draw, sets = random.Random(20261129), {}
    for letter in "HIJKLMNOPQRST":
        weights = [draw.random() ** 2 for _ in range(4)]
        shares = [max(.02, weight / sum(weights)) for weight in weights]
        delays = [int(300 * 4 ** draw.random()), int(4000 * 4 ** draw.random()), int(50000 * 3 ** draw.random())]
        pages, seconds, beat = draw.randint(2, 5), draw.randint(40, 120), draw.choice([30, 60, 90, 120])
        calls = round(.05 + .05 * draw.random(), 3)
        clicks = draw.random() * .5
        wrong, repeats, withheld, returning = (draw.uniform(*ends) for ends in [(.02, .1), (.03, .15), (.03, .1), (.1, .35)])
        sets[letter] = calls, [
            "--pages-per-visit", pages, "--page-seconds", seconds, "--heartbeat-seconds", beat, "--calls", calls, "--clicks", f"{clicks:.2f}",
            "--dial", ",".join(f"{share:.2f}" for share in shares), "--dial-seconds", ",".join(map(str, delays)), "--wrong-numbers", f"{wrong:.2f}",
            "--repeats", f"{repeats:.2f}", "--withheld", f"{withheld:.2f}", "--returning", f"{returning:.2f}", "--telephones", 1000000]
    return sets


def row(binary, folder, parameters, visits, utilisation):
    events, truth = os.path.join(folder, "events.ndjson"), os.path.join(folder, "truth.ndjson")
    said = ["--seed", SEED, "--visits", visits, "--utilisation", utilisation, *parameters, "--truth", truth, "-o", events]
    subprocess.run([binary, "simulate", *map(str, said)], check=True, stderr=subprocess.DEVNULL)
    told = subprocess.run([binary, "evaluate", "--truth", truth, "--input", events], check=True, capture_output=True, text=True).stdout
    ways = {cells[2].strip(): [cell.strip() for cell in cells] for cells in (line.split("|") for line in told.splitlines()) if len(cells) > 9}
    own, best = ways["callweave"], ways["Bayes-optimal"]
    sources = re.search(r"^Expected calibration error: .* sources (\S+)$", told, re.M).group(1)
    plain = [ways[way][4] for way in ("whoever holds it now", "last who held it")]
    return [own[3], own[4], own[5], own[8], best[8], sources, *plain]


def main():
    binary = os.path.abspath(sys.argv[1])
    calls, letters, pools = (sys.argv[2:] + ["30000", "PQRST", "0.5,1,2"][len(sys.argv) - 2:])[:3]
    sets = drawn()
    for letter in letters:
        print(f"{letter}: {' '.join(map(str, sets[letter][1]))}")
    print("\n| set | pools | calls | accuracy | of the optimum's | expected calibration error | the optimum's | of sources | whoever holds it now | last who held it |")
    print("| --- |" + " ---: |" * 9)
    for utilisation in pools.split(","):
        for letter in letters:
            share, parameters = sets[letter]
            with tempfile.TemporaryDirectory() as folder:
                cells = row(binary, folder, parameters, int(int(calls) / share), utilisation)
            print(f"| {letter} | {float(utilisation):.0%} | {' | '.join(cells)} |", flush=True)


main()
