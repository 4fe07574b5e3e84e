#!/usr/bin/env bash
# Installs or updates the shipper on this lab host from a built checkout.
#
#   sudo scripts/install-lab-host.sh [PROGRAMS]
#
# PROGRAMS is the directory of the programs (default: target/release of the checkout). A running shipper is restarted if
# a file has changed; interrupted uploads are sent again. On Debian the package does the same:
# scripts/build-packages.sh.
set -euo pipefail
# shellcheck source=scripts/install-files.sh
source "$(dirname "${BASH_SOURCE[0]}")/install-files.sh"
programs=${1:-$checkout/target/release}

check_programs cis490-shipper
put_user shipper
put_programs cis490-shipper
put 755 "$checkout/systemd/cis490-shipper-generator" /usr/lib/systemd/system-generators/cis490-shipper-generator
put 644 "$checkout/systemd/cis490-shipper.service" /usr/lib/systemd/system/cis490-shipper.service
put_example lab-host.toml
restart_if_running cis490-shipper.service
if ! systemctl is-active --quiet cis490-shipper.service; then
  echo 'next: edit /etc/cis490/lab-host.toml, then'
  echo '  cis490-shipper --check-config && cis490-shipper --ping && systemctl daemon-reload'
  echo '  systemctl enable --now cis490-shipper.service'
fi
