# shellcheck shell=bash
# The denials of the units' sandboxes, tried from within by a probe in place of the program.

the_sandbox_denies_what_nobody_needs() {
  local unit
  for unit in cis490-receiver cis490-shipper; do
    check "$unit: systemd-analyze security says at most 1.5" inside systemd-analyze security --no-pager --threshold=15 $unit.service
  done
  prepare_probe
  inside systemd-run --quiet --wait --collect --unit=probe-free -p User=cis490 /usr/local/bin/probe
  journal probe-free | grep = >"$scratch/free"
  for unit in cis490-receiver cis490-shipper; do
    probe_in_place_of $unit
    denied $unit write_etc 'does not write /etc'
    denied $unit write_open 'does not write where anybody may'
    denied $unit read_home 'does not read a home that anybody may read'
    denied $unit netlink 'makes no netlink socket'
    denied $unit vsock 'makes no socket to a hypervisor'
    denied $unit user_namespace 'makes no user namespace'
    denied $unit writable_code 'maps no memory that can be written and run'
    denied $unit set_uid 'makes no set-user-ID file'
    denied $unit personality 'does not change its personality'
    denied $unit see_others 'sees no process of others'
    allowed $unit write_state 'writes its state'
    allowed $unit internet 'makes sockets for IPv4'
    allowed $unit internet6 'and IPv6'
  done
}

# denied UNIT PROBE WHAT: the probe fails in the sandbox, and works without it, because otherwise it proves nothing.
denied() {
  equal "$1 $3" "$(grep "^$2=" "$scratch/free") $(grep "^$2=" "$scratch/$1.probe")" "$2=yes $2=no"
}
allowed() {
  equal "$1 $3" "$(grep "^$2=" "$scratch/$1.probe")" "$2=yes"
}

# Starts the unit with all its drop-ins, but with the probe as a oneshot program.
probe_in_place_of() {
  inside systemctl cat "$1.service" |
    sed -E '/^(Exec[A-Za-z]*|Type|Restart|RestartSec|WatchdogSec|LoadCredential|Wants|Also|WantedBy)=/d' >"$scratch/probe.service"
  printf '[Service]\nType=oneshot\nExecStart=/usr/local/bin/probe\n' >>"$scratch/probe.service"
  put "$scratch/probe.service" "/run/systemd/system/probe-$1.service"
  inside systemctl daemon-reload
  check "$1: the probe runs in its place" inside systemctl start "probe-$1.service"
  journal "probe-$1" | grep = >"$scratch/$1.probe"
}

prepare_probe() {
  inside sh -c 'mkdir -p -m 1777 /srv/open && mkdir -p -m 755 /home/eve && echo read me >/home/eve/open && chmod 644 /home/eve/open
    chown cis490 /etc/cis490-probe 2>/dev/null || install -o cis490 /dev/null /etc/cis490-probe'
  cat >"$scratch/probe" <<'SH'
#!/bin/sh
# NAME=yes or NAME=no: can this process do it?
can() { name=$1; shift; if "$@" >/dev/null 2>&1; then echo "$name=yes"; else echo "$name=no"; fi; }
mmap=9; [ "$(uname -m)" = x86_64 ] || mmap=222
can write_etc sh -c ': >>/etc/cis490-probe'
can write_open sh -c ': >>/srv/open/probe'
can write_state sh -c ': >>/var/lib/cis490/probe && rm /var/lib/cis490/probe'
can read_home cat /home/eve/open
can internet perl -e 'socket(S, 2, 1, 0) or exit 1'
can internet6 perl -e 'socket(S, 10, 1, 0) or exit 1'
can netlink perl -e 'socket(S, 16, 3, 0) or exit 1'
can vsock perl -e 'socket(S, 40, 1, 0) or exit 1'
can user_namespace unshare --user true
can writable_code perl -e "exit(syscall($mmap, 0, 4096, 7, 0x22, -1, 0) == -1)"
can set_uid sh -c 'cp /bin/true "$(mktemp -d)/set-uid" && cd "$(mktemp -d)" && cp /bin/true x && chmod u+s x'
can personality setarch i686 true
can see_others test -e /proc/1/comm
SH
  put "$scratch/probe" /usr/local/bin/probe 755
}
