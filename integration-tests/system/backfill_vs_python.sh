#!/usr/bin/env bash
# Is the backfill at least five times as fast as the loop that it replaces?
#
#   backfill_vs_python.sh [PROGRAMS] [TARBALLS]
#
# PROGRAMS is the directory of cis490-index-backfill (default: target/release), TARBALLS their number (5000).
# Makes a store of tarballs of about 60 KB in a temporary directory. Indexes it with the program, and with one Python
# thread that uses hashlib and a `zstd` process per file. Compares the results, prints the ratio of the times and fails
# below 5. Both read from the page cache, and only the program syncs its output. Needs python3 and zstd.
set -euo pipefail
export LC_ALL=C

readonly WANTED=5
readonly ROUNDS=3
programs=${1:-$(dirname "${BASH_SOURCE[0]}")/../../target/release}
tarballs=${2:-5000}

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
store=$scratch/episodes
mkdir "$store"

# Half of each tarball compresses well, like telemetry, and half does not, like a pcap.
python3 - "$store" "$tarballs" <<'PYTHON'
import io, json, random, sys, tarfile
from pathlib import Path

store, count = Path(sys.argv[1]), int(sys.argv[2])
rng = random.Random(490)
rows = b"".join(b'{"t_mono_ns":%d,"rss_kb":%d,"utime":%d}\n' % (n * 10**8, n % 97, n // 3) for n in range(1500))
for n in range(count):
    host, episode = f"lab-{n % 4}", f"01JD8Z5V6T7M3K2Q9W{n:08d}"
    commit = "%040x" % rng.getrandbits(160)
    meta = {"episode_id": episode, "schema_version": 1, "code_version": {"commit": commit, "dirty": False}}
    members = {"meta.json": json.dumps(meta).encode(), "network.pcap": rng.randbytes(52_000), "telemetry-proc.jsonl": rows}
    (store / host).mkdir(exist_ok=True)
    with tarfile.open(store / host / f"{episode}.tar", "w") as tar:
        for name, content in members.items():
            member = tarfile.TarInfo(f"{episode}/{name}")
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
PYTHON
find "$store" -name '*.tar' -print0 | xargs -0 -n 500 zstd --quiet --rm -3
du --summarize --human-readable "$store"

cat >"$scratch/loop.py" <<'PYTHON'
import hashlib, json, subprocess, sys, tarfile
from pathlib import Path

for path in sorted(Path(sys.argv[1]).glob("*/*.tar.zst")):
    sha256 = hashlib.sha256()
    with open(path, "rb") as file:
        while chunk := file.read(1 << 20):
            sha256.update(chunk)
    commit = None
    with subprocess.Popen(["zstd", "-dcq", path], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as zstd:
        with tarfile.open(fileobj=zstd.stdout, mode="r|") as tar:
            for member in tar:
                if member.name.endswith("/meta.json"):
                    commit = json.load(tar.extractfile(member))["code_version"]["commit"]
                    break
        zstd.stdout.close()
    row = {"host_id": path.parent.name, "episode_id": path.name.removesuffix(".tar.zst"),
           "sha256": sha256.hexdigest(), "size_bytes": path.stat().st_size, "commit": commit}
    print(json.dumps(row))
PYTHON

# Runs its arguments and puts the duration in seconds into $seconds.
timed() {
  local began=$EPOCHREALTIME
  "$@"
  seconds=$(awk -v began="$began" -v ended="$EPOCHREALTIME" 'BEGIN { printf "%.2f", ended - began }')
}
run_program() {
  rm -f "$scratch/index.jsonl" "$scratch/index.lock"
  "$programs/cis490-index-backfill" --episodes-root "$store" >"$scratch/told"
}
run_python() {
  python3 "$scratch/loop.py" "$store" >"$scratch/python.jsonl"
}

find "$store" -type f -exec cat {} + >/dev/null
timed run_python
python=$seconds
echo "python: $python s"
times=()
for ((round = 1; round <= ROUNDS; round++)); do
  timed run_program
  times+=("$seconds")
  echo "cis490-index-backfill: $seconds s"
done
program=$(printf '%s\n' "${times[@]}" | sort -n | sed -n "$(((ROUNDS + 1) / 2))p")

# Both must give the same rows, or the times cannot be compared.
python3 - "$scratch" "$tarballs" <<'PYTHON'
import json, sys
from pathlib import Path

def rows(name):
    keys = ("host_id", "episode_id", "sha256", "size_bytes", "commit")
    lines = (Path(sys.argv[1]) / name).read_text().splitlines()
    return sorted(tuple(json.loads(line)[key] for key in keys) for line in lines)

found, expected = rows("index.jsonl"), rows("python.jsonl")
assert len(found) == int(sys.argv[2]), f"{len(found)} rows for {sys.argv[2]} tarballs"
assert found == expected, "the two found different things"
PYTHON

awk -v python="$python" -v program="$program" -v wanted="$WANTED" -v tarballs="$tarballs" 'BEGIN {
  ratio = python / program
  printf "ratio: %.1f (%d tarballs, python %.2f s, cis490-index-backfill %.2f s, at least %d wanted)\n", ratio, tarballs, python, program, wanted
  exit ratio < wanted
}'
