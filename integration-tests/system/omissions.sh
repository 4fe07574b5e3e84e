#!/usr/bin/env bash
# Do the tests bite? Leaves out every step of the protocol in turn and demands that a test fails.
#
#   omissions.sh [PROGRAMS] [STEP...]
#
# PROGRAMS is the target directory's profile that the gate built (default: target/debug); STEPs are the only ones to
# try (default: all). The table in docs/durability.md says which test must fail without which step, and is the input:
# a step of shared/src/step.rs without a row, a row whose test passes without its step, and a test that fails with
# all steps taken are failures here. The programs are built with the feature `omissions`, and again without it at
# the end. Needs jq, and root for the tests that mount.
set -euo pipefail
export LC_ALL=C
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

readonly TABLE=docs/durability.md STEPS=shared/src/step.rs
# A test that hangs without its step has noticed, but shall not hold up the others.
readonly PATIENCE=120
[[ ${1:-target/debug} == */debug ]] || { echo "omissions.sh: only the debug profile is supported" >&2; exit 1; }
only=("${@:2}")

scratch=$(mktemp -d)
finish() {
  rm -rf "$scratch"
  # What lies in the target directory afterwards is what anybody would build.
  cargo build --workspace --bins --locked --quiet
}
trap finish EXIT
# Sandboxes of tests that fail on purpose go with the rest.
mkdir "$scratch/tmp"
# Some run a program as another user, who must get through.
chmod 711 "$scratch" "$scratch/tmp"
export TMPDIR=$scratch/tmp

# Rows of the table: | `step` | what is left out | `test` |
sed -nE 's/^\| `([a-z-]+)` \|.*\| `([a-z0-9_]+)` \|$/\1 \2/p' "$TABLE" >"$scratch/rows"
sed -nE 's/^    [A-Za-z]+ = "([a-z-]+)";$/\1/p' "$STEPS" | sort >"$scratch/steps"
if ! diff <(cut -d' ' -f1 "$scratch/rows" | sort) "$scratch/steps" >"$scratch/diff"; then
  echo "omissions.sh: the table of $TABLE and the steps of $STEPS differ (<: only in the table):" >&2
  cat "$scratch/diff" >&2
  exit 1
fi

echo "building the programs and tests with the feature"
cargo test --workspace --no-run --locked --quiet --message-format=json \
  --features integration-tests/system,integration-tests/omissions |
  jq -r 'select(.reason == "compiler-artifact" and .profile.test and .executable)
         | "\(.executable) \(.manifest_path | rtrimstr("/Cargo.toml"))"' >"$scratch/executables"
# One line per test: its last name, its whole name, its program, the directory to run it in.
while read -r executable directory; do
  "$executable" --list --format terse 2>/dev/null | sed -nE 's/: test$//p' |
    while read -r name; do echo "${name##*::} $name $executable $directory"; done
done <"$scratch/executables" >"$scratch/tests"

# Runs the test named $1, without the step $2 where one is given; its output goes to $3.
run_test() {
  local name executable directory
  if (($(grep -c "^$1 " "$scratch/tests") > 1)); then
    echo "more than one test is called $1" >"$3"
    return 2
  fi
  read -r _ name executable directory < <(grep -m1 "^$1 " "$scratch/tests") || {
    echo "there is no test $1" >"$3"
    return 2
  }
  (cd "$directory" && CIS490_OMIT=${2:-} timeout --kill-after=10 "$PATIENCE" "$executable" --exact "$name") >"$3" 2>&1
}

failures=0
say() { printf '%-20s %-6s %s\n' "$@"; }

echo "every test passes with all steps taken:"
for test in $(cut -d' ' -f2 "$scratch/rows" | sort -u); do
  if ((${#only[@]})) && ! grep -qE "^($(IFS='|'; echo "${only[*]}")) $test$" "$scratch/rows"; then continue; fi
  if ! run_test "$test" '' "$scratch/output" || ! grep -q ' 1 passed' "$scratch/output"; then
    echo "FAILS with all steps taken: $test"
    tail -n 20 "$scratch/output"
    failures=$((failures + 1))
  fi
done

echo "and fails without its step:"
caught=0
while read -r step test; do
  if ((${#only[@]})) && [[ " ${only[*]} " != *" $step "* ]]; then continue; fi
  began=$SECONDS status=0
  run_test "$test" "$step" "$scratch/output" || status=$?
  # 101 is a failed test; 124 and 137 one that hung.
  case $status in
    101 | 124 | 137) say "$step" "$((SECONDS - began)) s" "$test"; caught=$((caught + 1)) ;;
    *)
      echo "NOT NOTICED: without $step, $test ended with $status"
      tail -n 5 "$scratch/output"
      failures=$((failures + 1))
      ;;
  esac
done <"$scratch/rows"
echo "$caught steps left out and noticed, $failures failures"
exit $((failures > 0))
