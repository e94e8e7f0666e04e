#!/bin/bash
# The integration suites of the official SDKs, unchanged but for URL and key, first against one real Meilisearch, then
# against `miroir dev` with three such nodes behind it; at the end what passed and failed of both, and what differs.
#
#   MEILISEARCH=/path/to/meilisearch SDK_PYTHON=/path/to/meilisearch-python SDK_JS=/path/to/meilisearch-js tests/sdk/run.sh
#
# The suites must be installed (Python: the environment of PYTHON, default python3; JavaScript: node_modules). Either may be
# left out. ONLY=real or ONLY=miroir runs one side. OUT (default a temporary folder) keeps results and logs. Ends with 1 if
# a test passes against one server and fails against Miroir.
set -u
: "${MEILISEARCH:?the path of a Meilisearch 1.50}"
[ -n "${SDK_PYTHON:-}${SDK_JS:-}" ] || { echo "set SDK_PYTHON, SDK_JS or both" >&2; exit 2; }
here=$(cd "$(dirname "$0")/../.." && pwd)
out=${OUT:-$(mktemp -d)}
port=${PORT:-7700}
mkdir -p "$out"
server=
stop() {
    [ -n "$server" ] && kill "$server" 2>/dev/null && wait "$server" 2>/dev/null
    server=
}
trap stop EXIT

# Exports and embedders of the suites are on this machine.
export MEILI_EXPERIMENTAL_ALLOWED_IP_NETWORKS=any

start() {
    local data
    data=$(mktemp -d -p "$out")
    if [ "$1" = real ]; then
        (cd "$data" && exec "$MEILISEARCH" --no-analytics --master-key masterKey --http-addr "127.0.0.1:$port" \
            --db-path "$data/db") >"$out/$1-server.log" 2>&1 &
    else
        "$here/target/release/miroir" dev --nodes 3 --replication-factor 2 --meilisearch "$MEILISEARCH" --master-key masterKey \
            --listen "127.0.0.1:$port" --admin-listen "127.0.0.1:$((port + 1))" --data-dir "$data" >"$out/$1-server.log" 2>&1 &
    fi
    server=$!
    for _ in $(seq 300); do
        curl -sf "http://127.0.0.1:$port/health" >/dev/null && return
        kill -0 "$server" 2>/dev/null || break
        sleep 0.2
    done
    echo "$1 did not start; see $out/$1-server.log" >&2
    exit 2
}

export MEILISEARCH_URL="http://127.0.0.1:$port"
for side in ${ONLY:-real miroir}; do
    if [ -n "${SDK_PYTHON:-}" ]; then
        start "$side"
        (cd "$SDK_PYTHON" && "${PYTHON:-python3}" -m pytest tests -q -p no:cacheprovider -o addopts="" \
            --junit-xml="$out/$side-python.xml") >"$out/$side-python.log" 2>&1
        stop
    fi
    if [ -n "${SDK_JS:-}" ]; then
        start "$side"
        (cd "$SDK_JS" && npx vitest run --reporter=json --outputFile="$out/$side-js.json") >"$out/$side-js.log" 2>&1
        stop
    fi
done
python3 "$here/tests/sdk/compare.py" "$out"
