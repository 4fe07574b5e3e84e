#!/usr/bin/env bash
# Does the receiver follow its OpenAPI description for any request?
#
#   openapi.sh [PROGRAMS] [EXAMPLES]
#
# PROGRAMS is the directory of cis490-receiver (default: target/debug), EXAMPLES the number of requests per operation
# (50). Checks the description with a validator. Then schemathesis makes requests from it and sends them to a receiver
# on a free port. Every answer must match the description in status, type and members, and none may be a server error.
# Needs git, and python3 with venv; the two tools come from PyPI, in the versions of .ci/openapi.txt.
set -euo pipefail
export LC_ALL=C
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

programs=$(cd "${1:-target/debug}" && pwd)
examples=${2:-50}
tools="${XDG_CACHE_HOME:-${HOME:-/root}/.cache}/cis490-gate/openapi"

scratch=$(mktemp -d)
receiver=
finish() {
  [[ -z $receiver ]] || { kill "$receiver" && wait "$receiver" || true; }
  rm -rf "$scratch"
}
trap finish EXIT

if ! cmp --silent .ci/openapi.txt "$tools/installed.txt"; then
  rm -rf "$tools"
  python3 -m venv "$tools"
  "$tools/bin/python" -m pip install --quiet --disable-pip-version-check --requirement .ci/openapi.txt
  cp .ci/openapi.txt "$tools/installed.txt"
fi

git init --quiet "$scratch/clone"
git -C "$scratch/clone" -c user.name=m -c user.email=m@example.org commit --quiet --allow-empty --message first
cat >"$scratch/receiver.toml" <<TOML
[server]
listen = ["127.0.0.1:0"]
[store]
episodes_root = "$scratch/episodes"
index = "$scratch/index.jsonl"
min_free_bytes = 0
[version_gate]
repo_path = "$scratch/clone"
TOML
: >"$scratch/log"
env --unset=JOURNAL_STREAM "$programs/cis490-receiver" --config "$scratch/receiver.toml" 2>"$scratch/log" &
receiver=$!
for _ in {1..100}; do
  url=$(sed -nE 's/.*accepting uploads.*urls=(http:[^ ,]+).*/\1/p' "$scratch/log")
  [[ -z $url ]] || break
  kill -0 "$receiver" || { cat "$scratch/log"; exit 1; }
  sleep 0.1
done

curl --silent --fail "$url/v1/openapi.json" >"$scratch/openapi.json"
"$tools/bin/openapi-spec-validator" "$scratch/openapi.json"
cd "$scratch"
cat >schemathesis.toml <<TOML
# A made-up commit has the described form, but is in no window.
[checks.positive_data_acceptance]
expected-statuses = ["2xx", "400", "404", "409", "412"]
TOML
# Without these hooks, hardly any body would match the hash in its header, and no episode would be stored or found.
cat >hooks.py <<'PYTHON'
import hashlib
import os

import schemathesis

stored = []


def encode(value):
    value = getattr(value, "data", value)
    return value if isinstance(value, bytes) else str(value).encode()


@schemathesis.serializer("application/zstd")
def zstd(_context, value):
    return encode(value)


@schemathesis.hook
def before_call(_context, case, kwargs):
    if case.meta is None or not case.meta.generation.mode.is_positive:
        return
    if case.operation.definition.raw.get("operationId") == "storeEpisode":
        body = encode(case.body)
        case.headers["X-Content-SHA256"] = hashlib.sha256(body).hexdigest()
        case.headers["X-Cis490-Code-Commit"] = os.environ["HEAD_COMMIT"]
        case.headers.pop("X-Lab-Host", None)
        case.headers.pop("X-Episode-Id", None)
        stored.append(dict(case.path_parameters))
    elif case.operation.definition.raw.get("operationId") == "findEpisode" and stored:
        case.path_parameters.update(stored[-1])
PYTHON
HEAD_COMMIT=$(git -C clone rev-parse HEAD) SCHEMATHESIS_HOOKS=hooks "$tools/bin/schemathesis" run "$url/v1/openapi.json" \
  --checks all --max-examples "$examples" --seed 490 --workers 1 --generation-database none --no-color
echo "$(wc -l <index.jsonl) episodes were stored"
(($(wc -l <index.jsonl) > 5))
