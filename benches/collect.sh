#!/usr/bin/env bash
# How fast pages are served, from a second process over keep-alive: page views against a bare axum handler in the same
# run, and numbers by their latency. Needs wrk (Debian: apt-get install wrk) and a release build:
#
#   cargo build --release && cargo build --release --example bare
#   benches/collect.sh target/release/callweave target/release/examples/bare [ROUNDS] [SECONDS]
#
# Rounds alternate; what is printed is each round and the medians.

set -euo pipefail
binary="$(realpath "$1")" bare="$(realpath "$2")" rounds="${3:-3}" seconds="${4:-10}"
connections="${CONNECTIONS:-128}"
folder="$(mktemp -d)"
pids=()
trap 'kill "${pids[@]}" 2>/dev/null || true; rm -rf "$folder"' EXIT
cd "$folder"

python3 - > callweave.toml <<'PY'
numbers = "\n".join(
    f'{{number = "+1415{at:07}", kind = "pool", pool = "main", forward_to = "+14155550100"}},' for at in range(2000000, 2001000)
)
print(f"""
[limits]
concurrent = 4096
address_requests_per_second = 1000000
site_requests_per_second = 1000000
[accounts.acme]
keys = ["the-key-of-acme-for-benches"]
[accounts.acme.settings]
sites = [{{name = "main", origins = ["https://www.acme.example"]}}]
numbers = [
{numbers}
]
pools = [{{name = "main"}}]
routes = [{{source = "news*", pool = "main"}}, {{pool = "main"}}]
""")
PY

cat > visits.lua <<'LUA'
-- Page views of sessions of their own, or numbers for 500 visitors who come again and again. Only /v1/number is asked for numbers.
local path, n, at, now = "/v1/web", 0, 0, ""
local headers = {
    ["Content-Type"] = "text/plain;charset=UTF-8", ["Origin"] = "https://www.acme.example",
    ["User-Agent"] = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/138.0.0.0 Safari/537.36",
    ["Accept-Language"] = "en-US,en;q=0.9", ["Cookie"] = "_ga=GA1.1.1234.5678; cw_v=v1",
}
local threads = 0
function setup(thread) threads = threads + 1; thread:set("id", threads) end
function init(args) path = args[1] or path; math.randomseed(os.time() + id) ; run = tostring(math.random(1e9)) .. "-" .. id end
function request()
    n = n + 1
    if n % 256 == 1 then now = os.date("!%Y-%m-%dT%H:%M:%SZ") end
    local page = "https://www.acme.example/catalogue/page-" .. (n % 997) .. "?utm_source=news&utm_medium=email&utm_campaign=autumn"
    local body
    if path == "/v1/number" then
        local visitor = "v" .. id .. "-" .. (n % 500)
        body = '{"site":"acme/main","visitor_id":"' .. visitor .. '","session_id":"s' .. visitor .. '","url":"' .. page ..
            '","numbers":{"replace":["+14155550100"],"held":[],"want":true}}'
    else
        local visitor = "v" .. run .. "-" .. math.floor(n / 3)
        body = '{"site":"acme/main","visitor_id":"' .. visitor .. '","session_id":"s' .. visitor .. '","sent_at":"' .. now ..
            '","events":[{"id":"' .. run .. "-" .. n .. '","type":"page_view","time":"' .. now .. '","data":{"page_view_id":"p' .. n ..
            '","url":"' .. page .. '","referrer":"https://www.example.org/","title":"The autumn catalogue","language":"en-US"}}]}'
    end
    return wrk.format("POST", path, headers, body)
end
function done(summary, latency)
    local errors = summary.errors.status + summary.errors.connect + summary.errors.read + summary.errors.write + summary.errors.timeout
    io.write(string.format("%.0f %.2f %.2f %d\n", summary.requests / summary.duration * 1e6,
        latency:percentile(50) / 1000, latency:percentile(99) / 1000, errors))
end
LUA

"$binary" collect --listen 127.0.0.1:18090 --admin 127.0.0.1:19090 --log warn --data data 2> callweave.log & pids+=($!)
"$bare" 127.0.0.1:18099 & pids+=($!)
until curl -sf http://127.0.0.1:19090/readyz > /dev/null && curl -s http://127.0.0.1:18099/ > /dev/null; do
    kill -0 "${pids[0]}" || { cat callweave.log >&2; exit 1; }
done

hit() { # CONNECTIONS SECONDS ADDRESS PATH
    wrk -t1 -c"$1" -d"$2s" -s visits.lua "http://$3" -- "$4" | tail -1
}
median() { sort -n | awk '{all[NR] = $1} END {print all[int((NR + 1) / 2)]}'; }

# Every visitor of the measured runs has a number by then, as visitors of a session have after their first page.
hit 16 5 127.0.0.1:18090 /v1/number > /dev/null
printf '%-34s %12s %8s %8s %7s\n' what requests/s 'p50 ms' 'p99 ms' errors
for round in $(seq "$rounds"); do
    show() { printf '%-34s %12s %8s %8s %7s\n' "$1" $2; }
    bare_told="$(hit "$connections" "$seconds" 127.0.0.1:18099 /v1/web)"
    views_told="$(hit "$connections" "$seconds" 127.0.0.1:18090 /v1/web)"
    numbers_told="$(hit 16 "$seconds" 127.0.0.1:18090 /v1/number)"
    show "bare axum, $connections connections" "$bare_told"
    show "page views, $connections connections" "$views_told"
    show "numbers kept, 16 connections" "$numbers_told"
    echo "${bare_told%% *}" >> bare; echo "${views_told%% *}" >> views
    awk '{print $3}' <<< "$numbers_told" >> p99
done
awk -v bare="$(median < bare)" -v views="$(median < views)" -v p99="$(median < p99)" \
    'BEGIN {printf "medians: page views %d/s, %.2f of the bare handler; numbers p99 %.2f ms\n", views, views / bare, p99}'
