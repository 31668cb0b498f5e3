#!/usr/bin/env bash
# `callweave run` and DuckDB on the same file, in turn, and the ratio of their medians.
#
#   benches/run.sh BINARY [EVENTS [ROUNDS]]     a release build; 1000000 events and 3 rounds unless said otherwise
#
#   PYTHON   a Python with DuckDB 2.x (default: python3)
#   WORK     where the file and both outputs go (default: a scratch folder, removed in the end)
set -euo pipefail
binary="$(realpath "${1:?the binary: target/release/callweave}")" events="${2:-1000000}" rounds="${3:-3}"
here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
python="${PYTHON:-python3}"
if [ -z "${WORK:-}" ]; then
    WORK="$(mktemp -d)"
    trap 'rm -rf "$WORK"' EXIT
fi
cd "$WORK"
"$python" -c 'import duckdb, sys; sys.exit(int(duckdb.__version__.split(".")[0]) < 2)' ||
    echo "note: this DuckDB is older than 2: $("$python" -c 'import duckdb; print(duckdb.__version__)')"
file="events-$events.ndjson"
[ -s "$file" ] || "$binary" simulate --seed 1 --events "$events" -o "$file"
echo "$(wc -l <"$file") lines, $(stat -c %s "$file") bytes, $(nproc) processors"

ours=() theirs=()
for round in $(seq "$rounds"); do
    rm -rf lake
    began="$(date +%s.%N)"
    # Peak memory of the child, by Python's resource: /usr/bin/time is not everywhere.
    memory="$("$python" - "$binary" "$file" <<'P'
import resource, subprocess, sys
subprocess.run([sys.argv[1], "run", "--input", sys.argv[2], "--lake", "lake"], check=True, stderr=sys.stderr)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss // 1024)
P
)"
    took="$(echo "$(date +%s.%N) - $began" | awk '{printf "%.3f", $1 - $3}')"
    ours+=("$took")
    echo "round $round: callweave $took s, $(awk "BEGIN {printf \"%.0f\", $events / $took}") events/s, $memory MiB at most"
    read -r took _ rate < <("$python" "$here/peers/duckdb.py" "$file" duck 2 | tail -1)
    theirs+=("$took")
    echo "round $round: DuckDB    $took s, $rate events/s"
done
median() { printf '%s\n' "$@" | sort -n | awk '{v[NR] = $1} END {print (NR % 2) ? v[(NR + 1) / 2] : (v[NR / 2] + v[NR / 2 + 1]) / 2}'; }
a="$(median "${ours[@]}")" b="$(median "${theirs[@]}")"
echo "median: callweave $a s, DuckDB $b s: callweave is $(awk "BEGIN {printf \"%.2f\", $b / $a}") times as fast"
