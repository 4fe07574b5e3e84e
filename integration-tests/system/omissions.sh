#!/usr/bin/env bash
# Do the tests notice a missing step? Leaves out every step of the protocol in turn and requires that a test fails.
#
#   omissions.sh [PROGRAMS] [STEP...]
#
# PROGRAMS is the profile's directory that the gate built (default: target/debug), STEPs are the steps to try (default:
# all). The input is the table in docs/durability.md, which names for each step the test that must fail without it. A
# step of shared/src/step.rs without a row is a failure, and so is a test that passes without its step. Run the tests
# first, to see that each passes with all steps. They must fail even at the least depth (docs/testing.md).
# A debug build reads `CIS490_OMIT`, so no special build is needed. Needs jq, and root for the tests that mount.
set -euo pipefail
export LC_ALL=C
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

readonly TABLE=docs/durability.md STEPS=shared/src/step.rs
# A test that hangs without its step counts as failed after this time, in seconds.
readonly PATIENCE=120
# More tests than cores, because most of them wait for processes and disks.
readonly AT_A_TIME=4
[[ ${1:-target/debug} == */debug ]] || { echo "omissions.sh: only the debug profile is supported" >&2; exit 1; }
only=("${@:2}")

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
# Failed tests keep their sandboxes, so these are made below $scratch and removed with it.
mkdir "$scratch/tmp"
# Some tests run a program as another user, which must pass through these directories.
chmod 711 "$scratch" "$scratch/tmp"
export TMPDIR=$scratch/tmp CIS490_DEPTH=quick

# Rows of the table: | `step` | description | `test` |
sed -nE 's/^\| `([a-z-]+)` \|.*\| `([a-z0-9_]+)` \|$/\1 \2/p' "$TABLE" >"$scratch/rows"
sed -nE 's/^    [A-Za-z]+ = "([a-z-]+)";$/\1/p' "$STEPS" | sort >"$scratch/steps"
if ! diff <(cut -d' ' -f1 "$scratch/rows" | sort) "$scratch/steps" >"$scratch/diff"; then
  echo "omissions.sh: the table of $TABLE and the steps of $STEPS differ (<: only in the table):" >&2
  cat "$scratch/diff" >&2
  exit 1
fi
if ((${#only[@]})); then
  grep -E "^($(IFS='|'; echo "${only[*]}")) " "$scratch/rows" >"$scratch/chosen"
  mv "$scratch/chosen" "$scratch/rows"
fi

# Lists the test programs; cargo builds them only if the source has changed.
executables() {
  cargo test --no-run --workspace --locked --quiet --message-format=json "$@" |
    jq -r 'select(.reason == "compiler-artifact" and .profile.test and .executable)
           | "\(.executable) \(.manifest_path | rtrimstr("/Cargo.toml"))"'
}
cargo build --workspace --bins --test tidy --locked --quiet
{ executables; executables --features integration-tests/system --test system --test timing; } >"$scratch/executables"
CIS490_PROGRAMS=$(cd "${1:-target/debug}" && pwd)
export CIS490_PROGRAMS
# One line per test: its last name, its full name, its program, its working directory.
while read -r executable directory; do
  "$executable" --list --format terse 2>/dev/null | sed -nE 's/: test$//p' |
    while read -r name; do echo "${name##*::} $name $executable $directory"; done
done <"$scratch/executables" >"$scratch/tests"

# Runs the test $2 without the step $1, and prints in one line whether the test failed.
leave_out() {
  local step=$1 test=$2 began=$SECONDS status=0 name executable directory output=$scratch/$1.output
  if (($(grep -c "^$test " "$scratch/tests") != 1)); then
    echo "NOT NOTICED: for $step there must be one test called $test"
    return
  fi
  read -r _ name executable directory < <(grep "^$test " "$scratch/tests")
  (cd "$directory" && CIS490_OMIT=$step timeout --kill-after=10 "$PATIENCE" "$executable" --exact "$name") \
    >"$output" 2>&1 || status=$?
  # 101 is a failed test; 124 and 137 are tests that hung.
  case $status in
    101 | 124 | 137) printf '%-20s %-6s %s\n' "$step" "$((SECONDS - began)) s" "$test" ;;
    *) printf '%s\n' "NOT NOTICED: without $step, $test ended with $status" "$(tail -n 5 "$output")" ;;
  esac
}
export -f leave_out
export scratch PATIENCE

xargs --max-procs="$AT_A_TIME" --max-args=2 bash -c 'leave_out "$@"' leave_out <"$scratch/rows" |
  tee "$scratch/results"
failures=$(grep -c '^NOT NOTICED' "$scratch/results" || true)
echo "$(($(wc -l <"$scratch/rows") - failures)) steps left out and noticed, $failures failures"
exit $((failures > 0))
