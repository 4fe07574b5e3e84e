# shellcheck shell=bash
# A throw-away machine whose PID 1 is a real systemd, for tests of units and packages. To be sourced.
#
#   machine_up DIR       builds the root file system if it is missing, boots it, and returns when it has booted; changes
#                        go to DIR, which the caller makes and removes
#   inside CMD ARG...    runs a command in the machine, as root, without the caller's environment
#   put SRC DST [MODE]   copies a file into the machine
#   machine_down         shuts the machine down, by force if necessary; only DIR is left
#
# The machine runs the same Debian release as this host, in pid, mount, uts, ipc, net and cgroup namespaces of its own
# (boot.sh beside this file). The root file system is cached between runs, and every boot begins with the unchanged
# one. If the calling script dies, the machine dies with it.
#
# Limitations: limits of memory, tasks and processor need cgroup controllers, which not every container gets
# (`controllers` below lists them); modules, udev and clocks belong to the host's kernel.

MACHINE_CACHE=${XDG_CACHE_HOME:-${HOME:-/root}/.cache}/cis490-gate
MACHINE_PACKAGES=(systemd systemd-sysv dbus git acl curl procps iproute2 perl-base man-db sudo)
machine_files=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
machine_dir='' machine_supervisor='' machine_leader='' machine_cgroup=''

machine_up() {
  machine_dir=$1
  local root
  root=$(machine_root_path)
  [[ -e $root ]] || machine_build "$root"
  mkdir -p "$machine_dir"/{upper,work,root}
  machine_cgroup=$(machine_own_cgroup)
  mkdir "$machine_cgroup" "$machine_cgroup/inside"
  # A session of its own, so that a Ctrl-C reaches only the script, which then shuts the machine down in order.
  setsid setpriv --pdeathsig KILL unshare --mount --pid --uts --ipc --net --fork --kill-child=KILL \
    bash "$machine_files/boot.sh" enter "$root" "$machine_dir" "$machine_cgroup/inside" \
    </dev/null >"$machine_dir/console.log" 2>&1 &
  machine_supervisor=$!
  machine_wait_for_boot
}

# Prints the path of the cached root file system for this list of packages.
machine_root_path() {
  local release
  release=$(. /etc/os-release && echo "${VERSION_CODENAME:?}")
  echo "$MACHINE_CACHE/machine-$release-$(sha256sum <<<"${MACHINE_PACKAGES[*]}" | cut -c1-12)"
}

machine_build() {
  local root=$1 part=$1.part list=() file
  command -v mmdebstrap >/dev/null || machine_install_mmdebstrap
  mkdir -p "$MACHINE_CACHE"
  rm -rf --one-file-system "$part"
  for file in /etc/apt/sources.list /etc/apt/sources.list.d/*.list /etc/apt/sources.list.d/*.sources; do
    # Only Debian's own sources, because the machine needs no others.
    if [[ -e $file ]] && grep -q debian-archive-keyring "$file"; then list+=("$file"); fi
  done
  # The settings with which this host reaches its mirror, perhaps through a proxy.
  apt-config dump | grep -E '^Acquire::(https?::|Check-)' >"$part.apt" || true
  echo "building the root file system of the machine: ${MACHINE_PACKAGES[*]}"
  # In a mount namespace of its own, so that no mount is left after a failure.
  if ! unshare --mount mmdebstrap --quiet --variant=minbase --aptopt="$part.apt" \
    --include="$(IFS=,; echo "${MACHINE_PACKAGES[*]}")" --customize-hook=': >"$1/etc/machine-id"' \
    "$(. /etc/os-release && echo "$VERSION_CODENAME")" "$part" "${list[@]}" >"$part.log" 2>&1; then
    tail -n 20 "$part.log" >&2
    return 1
  fi
  rm -f "$part.apt" "$part.log"
  mv -T "$part" "$root"
}

machine_install_mmdebstrap() {
  apt-get update --quiet >/dev/null
  DEBIAN_FRONTEND=noninteractive apt-get install --quiet --yes --no-install-recommends mmdebstrap >/dev/null
}

# Prints the path of a cgroup below that of this script.
machine_own_cgroup() {
  local mount path
  mount=$(findmnt --noheadings --types cgroup2 --output TARGET | head -n 1)
  path=$(sed -n 's/^0:://p' /proc/self/cgroup)
  echo "${mount:?no cgroup2 file system is mounted here}${path%/}/cis490-machine-$$"
}

machine_wait_for_boot() {
  local deadline=$((SECONDS + 60)) state=''
  while ((SECONDS < deadline)) && kill -0 "$machine_supervisor" 2>/dev/null; do
    machine_leader=$(pgrep --parent "$machine_supervisor" --exact systemd || true)
    if [[ -n $machine_leader ]]; then
      # Waits for the end of the boot; fails at once until systemd listens.
      state=$(inside timeout 60 systemctl is-system-running --wait 2>/dev/null || true)
      case $state in
        running) return ;;
        degraded)
          inside systemctl --failed --no-legend --plain
          return
          ;;
      esac
    fi
    sleep 0.1
  done
  echo "the machine does not boot (state: ${state:-none}):" >&2
  cat "$machine_dir/console.log" >&2
  return 1
}

inside() {
  nsenter --target "$machine_leader" --mount --uts --ipc --net --pid --cgroup -- \
    env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8 \
    SYSTEMD_PAGER='' "$@"
}

put() {
  # shellcheck disable=SC2016
  inside sh -ec 'mkdir -p "$(dirname "$1")"; cat >"$1"; chmod "$2" "$1"' sh "$2" "${3:-644}" <"$1"
}

# Prints the cgroup controllers that units in the machine can use.
controllers() {
  inside cat /sys/fs/cgroup/cgroup.controllers
}

# For the EXIT trap of a script: after a failure, prints the journal of the running machine; then removes everything.
machine_finish() {
  if (($1 != 0)) && [[ -n $machine_leader ]]; then
    echo "-- the journal's end:"
    inside journalctl --no-pager --lines 60 || true
  fi
  machine_down
  rm -rf --one-file-system "$scratch"
}

machine_down() {
  [[ -n $machine_supervisor ]] || return 0
  # Starts poweroff.target (systemd(1)): units stop in order, then PID 1 ends, and with it the namespaces.
  [[ -z $machine_leader ]] || kill -s RTMIN+4 "$machine_leader" 2>/dev/null || true
  local deadline=$((SECONDS + 30))
  while kill -0 "$machine_supervisor" 2>/dev/null && ((SECONDS < deadline)); do
    sleep 0.1
  done
  # The death of the supervisor also kills PID 1.
  kill -KILL "$machine_supervisor" 2>/dev/null && echo 'the machine did not shut down by itself' >&2
  wait "$machine_supervisor" 2>/dev/null || true
  machine_supervisor='' machine_leader=''
  find "$machine_cgroup" -depth -type d -exec rmdir {} +
}
