#!/usr/bin/env bash
# Do the steps of the documents work unchanged?
#
#   docs.sh [PROGRAMS]
#
# PROGRAMS is the directory of the programs (default: target/debug); the packages are taken from `debian/` beside it and
# built if they are missing. Boots a throw-away machine (machine/machine.sh), which is collector and lab host in one.
# Runs every shell block of docs/install.md and docs/operators.md that follows a line `<!-- run: MACHINE -->`, in the
# order of the pages, line by line, up to the first failure. If a block calls `sudoedit FILE`, the editor puts the next
# block after `<!-- edit: FILE -->` into the file. Then an episode must be shipped. After that the packages are purged, and
# the blocks of README.md are followed in the same way, in a checkout that was built, by the maintainer, who may use sudo.
# Needs root, jq, and apt for missing tools. Leaves nothing behind.
set -euo pipefail
export LC_ALL=C

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
checkout=$(cd "$here/../.." && pwd)
programs=$(cd "${1:-$checkout/target/debug}" && pwd)
packages=$(dirname "$programs")/debian
documents=("$checkout"/docs/install.md "$checkout"/docs/operators.md "$checkout"/README.md)
((EUID == 0)) || { echo "docs.sh: only root can boot a machine" >&2; exit 1; }

# shellcheck source=machine/machine.sh
source "$here/machine/machine.sh"

scratch=$(mktemp -d)
trap 'machine_finish $?' EXIT
trap 'exit 130' INT TERM

# Writes each marked block to NUMBER.run or NUMBER.edit. Files beside it hold its place, and the target of an edit.
extract() {
  awk -v to="$scratch/blocks" '
    FNR == 1 { kind = ""; file = ""; fenced = 0 }
    fenced && /^```/ { if (file != "") close(file); fenced = 0; file = ""; next }
    fenced { if (file != "") print >file; next }
    /^<!-- (run|edit): [^ ]+ -->$/ { kind = substr($2, 1, length($2) - 1); what = $3; next }
    /^```/ {
      fenced = 1
      if (kind != "") {
        name = FILENAME
        sub(/.*\//, "", name)
        file = sprintf("%s/%02d.%s", to, ++number, kind)
        print name ":" FNR " (" what ")" >(file ".place")
        close(file ".place")
        if (kind == "edit") { print what >(file ".target"); close(file ".target") }
      }
    }
    { kind = "" }' "${documents[@]}"
}
mkdir "$scratch/blocks"
extract
blocks=("$scratch"/blocks/*.run)
edits=("$scratch"/blocks/*.edit)
((${#blocks[@]} >= 4 && ${#edits[@]} >= 2)) || { echo "docs.sh: too few marked blocks" >&2; exit 1; }

# An editor that works like a person: it puts every line `key = value` of the block into its section of the file, in
# place of the old value, and leaves the rest.
cat >"$scratch/editor" <<'EDITOR'
#!/usr/bin/perl
use strict;
use warnings;
my $copy = $ARGV[-1];
my ($block) = sort grep { !-e "$_.done" && fits($_) } glob '/srv/blocks/*.edit';
die "no block of the documents says what to write into this file\n" unless $block;
my ($section, %wanted, @order) = ('');
for (lines($block)) {
  if (/^\[(\w+)\]$/) { $section = $1; next }
  if (/^(\w+) = /) { $wanted{$section}{$1} = $_; push @order, $section unless grep { $_ eq $section } @order }
}
my @out;
$section = '';
for (lines($copy)) {
  if (/^\[(\w+)\]$/) { push @out, values %{ delete $wanted{$section} // {} }; $section = $1 }
  if (/^(\w+) = / && exists $wanted{$section}{$1}) { push @out, delete $wanted{$section}{$1}; next }
  push @out, $_;
}
push @out, values %{ delete $wanted{$section} // {} };
die "the file has no section @{[keys %wanted]}\n" if grep { %$_ } values %wanted;
open my $to, '>', $copy or die $!;
print {$to} @out;
close $to or die $!;
open my $done, '>', "$block.done" or die $!;
sub lines { open my $from, '<', $_[0] or die "$_[0]: $!"; return <$from> }
# sudoedit passes a copy whose name begins like that of the file.
sub fits {
  my ($target) = lines("$_[0].target");
  $target =~ m{([^/.]+)[^/]*$};
  return index($copy, $1) >= 0;
}
EDITOR

# Runs a block line by line, as a person pastes it. Not with `set -e`, which ignores a failure of `a` in `a && b`.
cat >"$scratch/follow" <<'FOLLOW'
set -uo pipefail
while IFS= read -r line <&3; do
  [[ $line != *\\ ]] || { echo "a command must stand on one line: $line"; exit 1; }
  [[ -n ${line%%#*} ]] || continue
  echo "+ $line"
  eval "$line" || { echo "exit code $?"; exit 1; }
done 3<"$1"
FOLLOW

# Prepares the machine: the clone, the users, the packages and the blocks.
prepare() {
  inside useradd --create-home --groups adm max
  inside sh -c 'echo "max ALL=(ALL:ALL) NOPASSWD: ALL" >/etc/sudoers.d/max && install --directory --owner=max /home/max/steps /srv/blocks'
  inside useradd --create-home alice
  inside runuser -u max -- sh -c 'git init --quiet ~/cis490 && git -C ~/cis490 -c user.name=max -c user.email=max@example.org \
    commit --quiet --allow-empty --message one'
  local file
  for file in "$packages"/cis490-{receiver,shipper}_*_amd64.deb "$scratch"/blocks/*; do
    case $file in
      *.deb) put "$file" "/home/max/steps/${file##*/}" ;;
      *) put "$file" "/srv/blocks/${file##*/}" ;;
    esac
  done
  put "$scratch/follow" /usr/local/bin/follow
  put "$scratch/editor" /usr/local/bin/editor-of-the-steps 755
}

newest_commit() { inside runuser -u max -- git -C /home/max/cis490 rev-parse HEAD; }

# record ID [COMMIT]
record() {
  local commit=${2:-$(newest_commit)}
  inside runuser -u cis490 -- sh -ec "umask 027 && mkdir -p /var/lib/cis490/data/episodes/$1 && cd /var/lib/cis490/data/episodes/$1 &&
    echo '{\"episode_id\":\"$1\",\"schema_version\":1,\"code_version\":{\"commit\":\"$commit\",\"dirty\":false}}' >meta.json && : >done.marker"
}

# Fills in the placeholders of a block, as the operator would.
fill_in() {
  local commit
  commit=$(newest_commit)
  inside sed -i "s/\bCOMMIT\b/$commit/; s/\babc1234\b/${commit:0:7}/; s/ ID  / refused-1  /" "/srv/blocks/${1##*/}"
}

# Records an episode and waits until it is in the index.
arrives() {
  record "$1"
  comes_true grep -q "\"episode_id\":\"$1\"" /var/lib/cis490/index.jsonl
}

# Records an episode of a commit that nobody has, and waits until it is in quarantine.
is_refused() {
  record "$1" "$(printf '0%.0s' {1..40})"
  comes_true test -e "/var/lib/cis490/data/quarantine/$1"
}

comes_true() {
  local deadline=$((SECONDS + 30))
  until inside "$@"; do
    ((SECONDS < deadline)) || { echo "docs.sh: this does not come true: $*" >&2; return 1; }
    sleep 0.2
  done
}

every_edit_was_made() {
  local edit
  for edit in "${edits[@]}"; do
    inside test -e "/srv/blocks/${edit##*/}.done" || { echo "docs.sh: $(<"$edit.place"): no step edits that file" >&2; return 1; }
  done
}

# Purges the packages, which leaves tokens and data, and puts a built checkout in their place.
from_packages_to_a_checkout() {
  inside systemctl disable --quiet --now cis490-shipper.service cis490-receiver.socket cis490-receiver.service
  inside sh -c 'DEBIAN_FRONTEND=noninteractive apt-get purge --yes -qq cis490-receiver cis490-shipper >/dev/null && rm /srv/blocks/*.done'
  inside mkdir -p /opt/cis490/target/release
  tar --create --directory "$checkout" scripts systemd etc packaging | inside tar --extract --directory /opt/cis490
  local program
  for program in cis490-receiver cis490-shipper cis490-index-backfill cis490-verify cis490-man-pages; do
    put "$programs/$program" "/opt/cis490/target/release/$program" 755
  done
}

if ! compgen -G "$packages/cis490-receiver_*.deb" >/dev/null; then
  "$checkout/scripts/build-packages.sh" dev
fi
machine_up "$scratch/machine"
prepare
ran=0
steps=/home/max/steps
for block in "${blocks[@]}"; do
  place=$(<"$block.place")
  if [[ $place == README.md:* && $steps != /opt/cis490 ]]; then
    every_edit_was_made
    arrives packaged
    from_packages_to_a_checkout
    steps=/opt/cis490
  fi
  # The blocks of operators.md need data, so an episode is shipped before them.
  [[ $place != operators.md:* ]] || inside test -s /var/lib/cis490/index.jsonl || { arrives first && is_refused refused-1; }
  echo "-- $place"
  fill_in "$block"
  if ! inside runuser -u max -- env --chdir="$steps" EDITOR=/usr/local/bin/editor-of-the-steps \
    bash /usr/local/bin/follow "/srv/blocks/${block##*/}" >"$scratch/out" 2>&1; then
    echo "docs.sh: $place fails:" >&2
    cat "$scratch/out" >&2
    exit 1
  fi
  ran=$((ran + $(grep -c '^+ ' "$scratch/out")))
done
[[ $steps == /opt/cis490 ]] || { echo "docs.sh: README.md has no marked block" >&2; exit 1; }
every_edit_was_made
arrives built
echo "docs: ${#blocks[@]} blocks with $ran commands ran as they stand, and an episode got through"
