#!/usr/bin/env bash
# Boots the machine of machine.sh in fresh namespaces. Not to be called by hand.
#
#   boot.sh enter ROOT DIR CGROUP    enters the cgroup and makes it the root of a cgroup namespace
#   boot.sh boot ROOT DIR            mounts the file systems that systemd expects, and becomes systemd
set -euo pipefail

enter() {
  echo 0 >"$3/cgroup.procs"
  exec unshare --cgroup bash "${BASH_SOURCE[0]}" boot "$1" "$2"
}

boot() {
  local top=$2/root
  mount -t overlay machine "$top" -o "lowerdir=$1,upperdir=$2/upper,workdir=$2/work"
  kernel_file_systems "$top"
  devices "$top/dev"
  mount -t tmpfs -o mode=755,nosuid,nodev tmpfs "$top/run"
  hostname machine
  echo machine >"$top/etc/hostname"
  printf '127.0.0.1 localhost machine\n::1 localhost\n' >"$top/etc/hosts"
  # Units that only cost time here are masked.
  local unit
  for unit in apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer e2scrub_reap.service \
    fstrim.timer man-db.timer dev-hugepages.mount; do
    ln -sf /dev/null "$top/etc/systemd/system/$unit"
  done
  mkdir "$top/old"
  cd "$top"
  pivot_root . old
  # Mounts are shared, as after a real boot, because credentials reach services as mounts that must propagate.
  # The clock and the modules belong to the host, so their capabilities are dropped; no unit can regain them.
  exec chroot . /bin/sh -c 'umount -l /old && rmdir /old && mount --make-rshared / && exec env -i container=cis490 \
    PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
    setpriv --bounding-set -sys_time,-sys_module,-sys_rawio,-syslog,-mac_admin,-mac_override,-wake_alarm,-block_suspend \
    /lib/systemd/systemd --system --unit=multi-user.target'
}

# Mounts proc, sys and cgroups; the parts that would change the host's kernel are read-only.
kernel_file_systems() {
  mount -t proc -o nosuid,nodev,noexec proc "$1/proc"
  mount --bind "$1/proc/sys" "$1/proc/sys"
  # These settings belong to the network namespace, and so to the machine.
  mount --bind "$1/proc/sys/net" "$1/proc/sys/net"
  mount -o remount,bind,ro,nosuid,nodev,noexec "$1/proc/sys"
  if [[ -e $1/proc/sysrq-trigger ]]; then
    mount --bind "$1/proc/sysrq-trigger" "$1/proc/sysrq-trigger"
    mount -o remount,bind,ro "$1/proc/sysrq-trigger"
  fi
  mount -t sysfs -o ro,nosuid,nodev,noexec sysfs "$1/sys"
  mount -t cgroup2 -o nosuid,nodev,noexec cgroup2 "$1/sys/fs/cgroup"
}

# Makes the few devices that every program may expect.
devices() {
  local name
  mount -t tmpfs -o mode=755,nosuid tmpfs "$1"
  for name in null zero full random urandom tty; do
    : >"$1/$name"
    mount --bind "/dev/$name" "$1/$name"
  done
  mkdir "$1/pts" "$1/shm"
  mount -t devpts -o newinstance,nosuid,noexec,mode=620,ptmxmode=666,gid=5 devpts "$1/pts"
  mount -t tmpfs -o mode=1777,nosuid,nodev tmpfs "$1/shm"
  ln -s pts/ptmx "$1/ptmx"
  ln -s /proc/self/fd "$1/fd"
  ln -s fd/0 "$1/stdin"
  ln -s fd/1 "$1/stdout"
  ln -s fd/2 "$1/stderr"
}

"$@"
