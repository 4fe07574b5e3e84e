#!/usr/bin/env bash
# Do the packages, units and install scripts hold under a real systemd?
#
#   units.sh [PROGRAMS] [PART...]
#
# PROGRAMS is the directory of the programs (default: target/debug); the packages are taken from `debian/` beside it
# and built if they are missing. PARTs are the parts to run (default: all, in the order below). Boots a throw-away
# machine (machine/machine.sh), installs the packages, and plays the life of a collector and a lab host. The parts are
# in units/, one claim per function. Needs root, jq, and apt for missing tools. Leaves nothing behind.
set -euo pipefail
export LC_ALL=C

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
checkout=$(cd "$here/../.." && pwd)
programs=$(cd "${1:-$checkout/target/debug}" && pwd)
packages=$(dirname "$programs")/debian
((EUID == 0)) || { echo "units.sh: only root can boot a machine" >&2; exit 1; }

# shellcheck source=machine/machine.sh
source "$here/machine/machine.sh"
for part in "$here"/units/*.sh; do
  # shellcheck disable=SC1090
  source "$part"
done

parts=(
  packages_are_installed
  incident_09_a_host_without_a_name_is_not_started_again
  incident_04_a_clone_of_another_user_in_a_closed_home_is_read
  an_episode_is_shipped_from_one_unit_to_the_other
  the_weekly_verify_looks_at_every_episode
  what_verify_finds_reaches_a_person
  the_weekly_verify_follows_the_configuration
  a_lab_host_says_how_it_does_and_sends_what_the_maintainer_admits
  the_sandbox_denies_what_nobody_needs
  incident_07_a_stopped_receiver_is_started_again_by_the_watchdog_and_nothing_is_lost
  a_restart_refuses_nobody
  the_socket_follows_the_configuration
  an_upgrade_keeps_configuration_and_data
  episodes_are_shipped_over_mutual_tls
  a_removed_package_leaves_the_episodes
  the_install_scripts_can_be_run_again
)
(($# < 2)) || parts=("${@:2}")

scratch=$(mktemp -d)
trap 'machine_finish $?' EXIT
trap 'exit 130' INT TERM

passed=0 failed=0 said=''
# Counts whether a command succeeds as wanted, and puts its output into $said. Not in a subshell, because most commands
# here are functions.
verdict() {
  local what=$1 wanted=$2 got=yes
  shift 2
  "$@" >"$scratch/out" 2>&1 || got=no
  said=$(<"$scratch/out")
  if [[ $got == "$wanted" ]]; then
    passed=$((passed + 1))
    echo "ok    $what"
  else
    failed=$((failed + 1))
    echo "FAIL  $what: $* (succeeds: $got)"
    sed 's/^/      /' <<<"$said"
  fi
}
# check WHAT CMD ARG...: the command must succeed.
check() { verdict "$1" yes "${@:2}"; }
# refused WHAT CMD ARG...: the command must fail.
refused() { verdict "$1" no "${@:2}"; }
# equal WHAT GOT WANTED
equal() { verdict "$1" yes test "$2" = "$3"; }
# within SECONDS CMD ARG...: retries the command until it succeeds, because there is no event to wait for.
within() {
  local deadline=$((SECONDS + $1))
  shift
  until "$@" >/dev/null 2>&1; do
    ((SECONDS < deadline)) || return 1
    sleep 0.1
  done
}
# property UNIT NAME: prints a property of a unit.
property() {
  inside systemctl show --property "$2" --value "$1"
}
# journal UNIT: prints the messages of a unit and of systemd about it.
journal() {
  inside journalctl --sync
  inside journalctl --no-pager --output cat --unit "$1"
}

if ! compgen -G "$packages/cis490-receiver_*.deb" >/dev/null; then
  "$checkout/scripts/build-packages.sh" dev
fi
receiver_deb=$(ls -t "$packages"/cis490-receiver_*_amd64.deb | head -n 1)
shipper_deb=$(ls -t "$packages"/cis490-shipper_*_amd64.deb | head -n 1)

echo "booting"
machine_up "$scratch/machine"
controllers=$(controllers)
for limit in memory pids cpu io; do
  [[ " $controllers " == *" $limit "* ]] ||
    echo "skip  limits of $limit: this machine hands down no cgroup controller for them, so units cannot be held to them"
done
for part in "${parts[@]}"; do
  echo "-- $part"
  "$part"
done
echo "units: $passed passed, $failed failed"
((failed == 0))
