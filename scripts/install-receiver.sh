#!/usr/bin/env bash
# Installs or updates the receiver and its tools on this collector from a built checkout.
#
#   sudo scripts/install-receiver.sh [PROGRAMS]
#
# PROGRAMS is the directory of the programs (default: target/release of the checkout). A running receiver is restarted
# if a file has changed; its socket stays open, so no lab host is refused. On Debian the package does the same:
# scripts/build-packages.sh.
set -euo pipefail
# shellcheck source=scripts/install-files.sh
source "$(dirname "${BASH_SOURCE[0]}")/install-files.sh"
programs=${1:-$checkout/target/release}
ours=(cis490-receiver cis490-index-backfill cis490-verify)

check_programs "${ours[@]}"
command -v setfacl >/dev/null || die 'setfacl is missing, which opens a closed clone to the receiver' 'apt install acl'
command -v git >/dev/null || die 'git is missing, with which the receiver reads the clone' 'apt install git'
put_user receiver
put_programs "${ours[@]}"
put 755 "$checkout/systemd/open-clone" /usr/libexec/cis490/open-clone
put 755 "$checkout/systemd/cis490-receiver-generator" /usr/lib/systemd/system-generators/cis490-receiver-generator
for unit in cis490-receiver.service cis490-receiver.socket cis490-verify.service cis490-verify.timer; do
  put 644 "$checkout/systemd/$unit" "/usr/lib/systemd/system/$unit"
done
put_example receiver.toml
restart_if_running cis490-receiver.service
if ! systemctl is-active --quiet cis490-receiver.service; then
  echo 'next: edit /etc/cis490/receiver.toml, then'
  echo '  cis490-receiver --check-config && systemctl daemon-reload'
  echo '  systemctl enable --now cis490-receiver.socket cis490-receiver.service cis490-verify.timer'
fi
