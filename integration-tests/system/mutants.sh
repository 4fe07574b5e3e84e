#!/usr/bin/env bash
# Do the unit tests notice faults? Changes the modules that hold the rules (.cargo/mutants.toml), one change at a time,
# and requires that a unit test of the same crate fails.
#
#   mutants.sh [SHARD]     SHARD: k/n, the k-th of n parts (default: all, some 40 minutes on two cores)
#
# integration-tests/mutants.txt lists the changes that no test notices, each with the reason why that is right. An
# unlisted one fails this script. A run of all changes also fails if a listed one is noticed. Needs cargo-mutants.
set -euo pipefail
export LC_ALL=C
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

readonly KNOWN=integration-tests/mutants.txt
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

# A changed loop may allocate for ever. The limit makes that a failure of its test, before the machine has no memory left.
ulimit -v $((12 * 1024 * 1024))

# It exits with 2 if tests missed a change and with 3 if they took too long; both are handled below.
status=0
cargo mutants --output "$scratch" --colors never --no-shuffle --baseline run ${1:+--shard "$1"} \
  2>&1 | tee "$scratch/log" || status=${PIPESTATUS[0]}
((status == 0 || status == 2 || status == 3)) || exit "$status"

# A change is identified by its file and its description, because line numbers move.
sed -E 's/^([^:]+):[0-9]+:[0-9]+: /\1: /' "$scratch/mutants.out/missed.txt" | sort >"$scratch/missed"
sed -nE 's/^([^#].*) # .*$/\1/p' "$KNOWN" | sort >"$scratch/known"
failed=0
if comm -23 "$scratch/missed" "$scratch/known" | grep .; then
  echo "mutants.sh: no unit test notices these: write one, or say in $KNOWN why none can" >&2
  failed=1
fi
if [[ -z ${1:-} ]] && comm -13 "$scratch/missed" "$scratch/known" | grep .; then
  echo "mutants.sh: these of $KNOWN are noticed, or are no more: take them out" >&2
  failed=1
fi
exit "$failed"
