# shellcheck shell=bash
# The common functions of install-receiver.sh and install-lab-host.sh. To be sourced.
#
# Every file is replaced atomically, an unchanged file is not touched, and neither is a configuration. So the scripts
# can be run again at any time, even from a checkout inside the installation.

checkout=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
changed=0

die() {
  printf '%s: %s\n' "${0##*/}" "$1" >&2
  [[ -z ${2:-} ]] || printf 'help: %s\n' "$2" >&2
  exit 1
}

# Checks that these programs can be installed here, before anything is changed.
check_programs() {
  local program
  ((EUID == 0)) || die 'only root can install' "sudo $0"
  for program in "$@"; do
    [[ -x $programs/$program ]] ||
      die "there is no \`$programs/$program\`" "cd $checkout && cargo build --release, as yourself"
    "$programs/$program" --version >/dev/null || die "\`$programs/$program\` does not run on this machine"
    if dpkg-query --search "/usr/bin/$program" >/dev/null 2>&1; then
      die "\`/usr/bin/$program\` belongs to a Debian package" \
        "scripts/build-packages.sh, then: sudo apt install ./target/debian/NAME.deb"
    fi
  done
}

# put MODE SRC DST: replaces DST atomically, even while its program runs.
put() {
  local mode=$1 src=$2 dst=$3
  if [[ $src -ef $dst ]] || { cmp --silent "$src" "$dst" && [[ $(stat -c %a "$dst") == "${mode#0}" ]]; }; then
    return
  fi
  mkdir -p "$(dirname "$dst")"
  install --mode="$mode" "$src" "$dst.new"
  mv --no-target-directory "$dst.new" "$dst"
  echo "installed $dst"
  changed=1
}

# put_programs NAME...: installs programs with their manual pages, which come from the programs themselves.
put_programs() {
  local program page pages
  for program in "$@"; do
    put 755 "$programs/$program" "/usr/bin/$program"
  done
  [[ -x $programs/cis490-man-pages ]] || return 0
  pages=$(mktemp -d)
  "$programs/cis490-man-pages" "$pages"
  for program in "$@"; do
    for page in "$pages/man/$program"*.1; do put 644 "$page" "/usr/share/man/man1/${page##*/}"; done
    # The page of the program's configuration.
    case $program in
      cis490-receiver) put 644 "$pages/man/receiver.toml.5" /usr/share/man/man5/receiver.toml.5 ;;
      cis490-shipper) put 644 "$pages/man/lab-host.toml.5" /usr/share/man/man5/lab-host.toml.5 ;;
    esac
    put 644 "$pages/bash/$program.bash" "/usr/share/bash-completion/completions/$program"
  done
  rm -r "$pages"
}

# put_user ROLE: makes the user and its directories.
put_user() {
  put 644 "$checkout/packaging/sysusers.conf" "/usr/lib/sysusers.d/cis490-$1.conf"
  systemd-sysusers "cis490-$1.conf"
  [[ -d /etc/cis490 ]] || install --directory --owner=root --group=cis490 --mode=750 /etc/cis490
  [[ -d /var/lib/cis490 ]] || install --directory --owner=cis490 --group=cis490 --mode=750 /var/lib/cis490
}

# put_example NAME: installs the example configuration, unless there is one already.
put_example() {
  [[ ! -e /etc/cis490/$1 ]] || return 0
  install --owner=root --group=cis490 --mode=640 "$checkout/etc/$1" "/etc/cis490/$1"
  echo "installed /etc/cis490/$1: edit it"
  changed=1
}

# restart_if_running UNIT: restarts a running unit after a change; a stopped one stays stopped.
restart_if_running() {
  systemctl daemon-reload
  ((changed)) || { echo 'everything is in place already'; return; }
  systemctl is-active --quiet "$1" || return 0
  systemctl restart "$1" || die "\`$1\` does not start again" "journalctl -u $1 -n 20"
  echo "restarted $1"
}
