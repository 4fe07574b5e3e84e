#!/usr/bin/env bash
# Do the recipes of the documents work with every possible index?
#
#   recipes.sh [PROGRAMS]
#
# PROGRAMS is the directory of cis490-verify (default: target/debug). Takes every block of README.md and docs/ that
# follows a line `<!-- recipe: KIND -->` and runs it unchanged, in a directory with an `index.jsonl`: shell blocks in
# bash, Python blocks in Python with pandas, SQL blocks in DuckDB.
#
#   hosts     prints host, episodes, bytes and episodes with a commit of each host; run with indexes full of junk
#   member    prints labels.jsonl of the example episode
#
# This script makes the indexes and the expected outputs; cis490-verify must find the same pairs. A Python or SQL block
# without that line is an error, and so is a jq block that reads index.jsonl. Needs jq, zstd and python3 with pip. The
# packages of .ci/recipes.txt come from PyPI and go to a virtual environment in the cache.
set -euo pipefail
export LC_ALL=C.UTF-8

cd "$(dirname "${BASH_SOURCE[0]}")/../.."
programs=$(cd "${1:-target/debug}" && pwd)
documents=(README.md docs/*.md)

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
: >"$scratch/diff"
failed=0 passed=0
# verdict YES WHAT: counts and prints a claim, which holds if YES is not 0.
verdict() {
  if (($1)); then passed=$((passed + 1)); echo "ok    $2"; else failed=$((failed + 1)); echo "FAIL  $2"; fi
}

# The virtual environment for these requirements and this Python; the file `complete` marks a finished one.
cache=${XDG_CACHE_HOME:-${HOME:-/root}/.cache}/cis490-gate
environment=$cache/recipes-$({ cat .ci/recipes.txt && python3 --version; } | sha256sum | cut -c1-12)
if [[ ! -e $environment/complete ]]; then
  rm -rf "$environment"
  # Without its own pip, which on Debian would need another package.
  python3 -m venv --without-pip "$environment"
  python3 -m pip --python "$environment/bin/python" install --quiet --disable-pip-version-check --no-deps \
    --only-binary :all: --require-hashes --requirement .ci/recipes.txt
  : >"$environment/complete"
fi

# Writes each recipe to NUMBER.KIND.LANGUAGE, and prints the blocks that lack the line.
extract() {
  awk -v to="$scratch/recipes" '
    function unmarked() { printf "%s:%d: a block that reads an index has no `<!-- recipe: KIND -->` before it\n", FILENAME, began }
    FNR == 1 { kind = ""; fenced = 0 }
    fenced && /^ *```/ {
      if (file != "") close(file)
      else if (language == "python" || language == "sql" || text ~ /jq .*index\.jsonl/) unmarked()
      fenced = 0; file = ""; next
    }
    fenced { if (file != "") print >file; text = text $0 "\n"; next }
    /^<!-- recipe: [a-z]+ -->$/ { kind = $3; next }
    /^ *```/ {
      fenced = 1; began = FNR; text = ""; language = $0; sub(/^ *```/, "", language)
      if (kind != "") {
        file = sprintf("%s/%02d.%s.%s", to, ++number, kind, language)
        print FILENAME ":" FNR >(file ".place")
        close(file ".place")
      }
    }
    { kind = "" }' "${documents[@]}"
}
mkdir "$scratch/recipes"
unmarked=$(extract)
verdict $((${#unmarked} == 0)) "every block that reads an index is a recipe${unmarked:+: $unmarked}"
recipes=("$scratch"/recipes/*.{sh,python,sql})
verdict "$((${#recipes[@]} >= 4))" "the recipes are found: ${#recipes[@]}"

# Makes the indexes, each in a directory CASE, with the expected output of a recipe in `wanted`.
python3 - "$scratch/cases" <<'PYTHON'
import json, sys
from collections import defaultdict
from pathlib import Path

HASH, COMMIT = "07" * 32, "ab" * 20


def row(host, episode, size, commit=None, **more):
    keys = {"episode_id": episode, "host_id": host, "received_at_wall": "2026-01-02T03:04:05.000006+00:00"}
    keys |= {"schema_version": 1, "sha256": HASH, "size_bytes": size} | more
    if commit:
        keys["commit"] = commit
    return json.dumps(keys, sort_keys=True, separators=(",", ":")).encode()


class Index:
    """What is in the file, and what counts of it."""

    def __init__(self):
        self.lines, self.hosts = [], defaultdict(lambda: [0, 0, 0])

    def take(self, host, episode, size, commit=None, **more):
        self.lines.append(row(host, episode, size, commit, **more))
        counts = self.hosts[host]
        counts[0] += 1
        counts[1] += size if isinstance(size, int) else 0
        counts[2] += commit is not None

    def junk(self, *lines):
        self.lines += lines

    def write(self, case, end=b"\n"):
        to = Path(sys.argv[1], case)
        to.mkdir(parents=True)
        text = b"\n".join(self.lines) + end if self.lines else b""
        (to / "index.jsonl").write_bytes(text)
        wanted = (f"{host} {' '.join(map(str, counts))}\n" for host, counts in sorted(self.hosts.items()))
        (to / "wanted").write_text("".join(wanted))


clean = Index()
for n in range(200):
    # The first rows have no commit.
    clean.take(f"lab-{n % 3}", f"e{n:04}", 1000 + n, COMMIT if n >= 150 else None)
clean.write("rows")
clean.write("a-last-row-without-its-newline", end=b"")

Index().write("empty")

nothing = Index()
nothing.junk(b"\0" * 4096)
nothing.write("nothing-but-a-hole")

junk = Index()
for n in range(300):
    junk.take("lab-1", f"e{n:04}", 100 + n)
junk.junk(b"\0", b"\0" * 4096, b"\0" * 9 + row("lab-1", "behind-a-hole", 1))
junk.junk(b"", b"  ", b"null", b"true", b"7", b"NaN", b'"text"', b"[1,2,3]", b'["lab-1","e"]', b"{}", b"[" * 60_000)
junk.junk(b'{"host_id":null,"episode_id":null}', b'{"host_id":"lab-1"}', b'{"host_id":["lab-1"],"episode_id":"e"}')
junk.junk(b'{"host_id":7,"episode_id":"e"}', b'{"host_id":{"a":1},"episode_id":"e"}', b'{"a":1} {"b":2}')
junk.junk(row("../lab-1", "e", 1), row("lab-1", "../e", 1), row("", "e", 1))
junk.junk(row("lab-1", "torn", 1)[:70], row("lab-1", "torn", 1)[:70] + row("lab-1", "run-together", 1))
junk.junk(b"\xff\xfe\0", row("lab-1", "latin-1", 1, note="x").replace(b'"x"', b'"\xe9"'), b'a,b,"c', b"'", b"\x01|\x02\t\x1e\x1f\x7f")
junk.junk(b"x" * 10_000_000, row("lab-1", "overlong", 1, note="x" * 10_000_000), b"\0" * 20_000_000)
junk.take("lab-2", "e0001", 7, COMMIT)
# A second row of a pair, with a commit that the first one lacks, and without one that the first one has.
junk.junk(row("lab-1", "e0001", 99, COMMIT), row("lab-2", "e0001", 8), row("lab-2", "e0001", 9, COMMIT))
junk.take("lab-3", "big", 2**42, COMMIT, backfilled=True)
junk.take("lab-3", "odd-size", "x")
junk.take("lab-3", "unicode", 3, note="\u00e9 \U0001f600 \\ , ; ' \" [ {", more=[1, {"x": None}])
junk.take("lab-4", "carriage-return", 2)
junk.lines[-1] += b"\r"
for n in range(20_000):
    junk.take("lab-5", f"e{n:05}", 1, COMMIT)
junk.junk(*(row("lab-5", f"e{n:05}", 2) for n in range(20_000)))
junk.write("junk", end=b"\n" + row("lab-1", "cut-off", 1)[:-9])
PYTHON

# Prints each host with its number of pairs according to cis490-verify, which reports every row if no archive exists.
pairs() {
  mkdir -p "$1/episodes"
  "$programs/cis490-verify" --no-hash --settle 0 --json --episodes-root "$1/episodes" --index "$1/index.jsonl" \
    >"$1/verify" 2>"$1/verify.err" || (($? == 3)) || return 1
  jq -r 'select(.finding == "row-without-archive") | .host_id' "$1/verify" | sort | uniq --count | awk '{ print $2, $1 }'
}

# Runs a recipe in the current directory.
run() {
  case $1 in
    *.sh) bash -euo pipefail "$1" ;;
    *.python) "$environment/bin/python" "$1" ;;
    *.sql)
      "$environment/bin/python" -c 'import duckdb, sys
for row in duckdb.sql(open(sys.argv[1]).read()).fetchall():
    print(*row)' "$1"
      ;;
    *) return 1 ;;
  esac
}

# Prints the lines with a host and three numbers, without other text.
hosts() {
  awk 'NF == 4 && $2 ~ /^[0-9]+$/ && $3 ~ /^[0-9]+$/ && $4 ~ /^[0-9]+$/ { print $1, $2, $3, $4 }'
}

# hosts_are_right RECIPE NAME: runs the recipe with every index. It must print the right table, and nothing to stderr.
hosts_are_right() {
  local case status
  for case in "$scratch"/cases/*; do
    status=0
    (cd "$case" && run "$1") >"$scratch/out" 2>"$scratch/err" || status=$?
    hosts <"$scratch/out" | sort >"$scratch/got"
    if ((status == 0)) && [[ ! -s $scratch/err ]] && diff "$case/wanted" "$scratch/got" >"$scratch/diff"; then
      verdict 1 "$2: ${case##*/}"
    else
      verdict 0 "$2: ${case##*/} (exit code $status; <: wanted, >: got)"
      head -n 10 "$scratch/diff" "$scratch/err" | cut -c1-300
    fi
  done
}

# member_is_right RECIPE NAME
member_is_right() {
  local episode=01JD8Z5V6T7M3K2Q9W8E4R5T6Y got=''
  mkdir -p "$scratch/store/episodes/lab-demo" "$scratch/store/$episode"
  echo '{"label":"benign"}' >"$scratch/store/$episode/labels.jsonl"
  head -c 1000000 /dev/zero >"$scratch/store/$episode/memory.raw"
  tar --zstd -cf "$scratch/store/episodes/lab-demo/$episode.tar.zst" -C "$scratch/store" "$episode"
  got=$(cd "$scratch/store" && run "$1" 2>&1) || true
  if [[ $got == '{"label":"benign"}' ]]; then
    verdict 1 "$2: prints the member"
  else
    verdict 0 "$2: printed $got"
  fi
}

for case in "$scratch"/cases/*; do
  if pairs "$case" >"$scratch/pairs" && diff <(cut -d' ' -f1,2 "$case/wanted") "$scratch/pairs" >"$scratch/diff"; then
    verdict 1 "cis490-verify finds the same pairs: ${case##*/}"
  else
    verdict 0 "cis490-verify finds the same pairs: ${case##*/} (<: wanted, >: found)"
    head -n 10 "$scratch/diff" "$case/verify.err"
  fi
done
for recipe in "${recipes[@]}"; do
  name=$(<"$recipe.place")
  case $recipe in
    *.hosts.*) hosts_are_right "$recipe" "$name ${recipe##*.}" ;;
    *.member.*) member_is_right "$recipe" "$name ${recipe##*.}" ;;
    *) verdict 0 "$name: \`${recipe##*/}\` is of no known kind" ;;
  esac
done
echo "recipes: $passed passed, $failed failed"
((failed == 0))
