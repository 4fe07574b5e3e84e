# shellcheck shell=bash
# Packages and install scripts: the installed files, and the data that survive an upgrade and a removal.

install_package() {
  put "$1" /root/package.deb
  inside env DEBIAN_FRONTEND=noninteractive dpkg --install --force-confold /root/package.deb
}

# Prints user, group and mode of a path.
owner_and_mode() {
  inside stat --format '%U:%G %a' "$1"
}

packages_are_installed() {
  local program
  check 'the receiver is installed' install_package "$receiver_deb"
  check 'so is the shipper, beside it' install_package "$shipper_deb"
  equal 'the data belong to the service' "$(owner_and_mode /var/lib/cis490)" 'cis490:cis490 750'
  equal 'strangers do not read the configurations' "$(owner_and_mode /etc/cis490)" 'root:cis490 750'
  for program in receiver lab-host; do
    equal "the service reads $program.toml, and cannot write it" \
      "$(owner_and_mode "/etc/cis490/$program.toml")" 'root:cis490 640'
  done
  check 'the user cannot log in' inside sh -c 'getent passwd cis490 | grep -q ":/var/lib/cis490:/usr/sbin/nologin$"'
  equal 'nothing was started' "$(property cis490-receiver ActiveState) $(property cis490-shipper ActiveState)" 'inactive inactive'
  equal 'nothing was enabled' \
    "$(inside systemctl is-enabled cis490-receiver.service cis490-receiver.socket cis490-shipper.service cis490-verify.timer | sort -u)" disabled
  for program in cis490-receiver cis490-index-backfill cis490-verify cis490-shipper; do
    check "$program is there" inside "$program" --version
    # The page lists the long options of --help.
    check "man $program" inside sh -c "man --locale=C $program | grep -q -- --config || man $program | grep -q -- --episodes-root"
    check "$program is completed" inside bash -c \
      "source /usr/share/bash-completion/completions/$program && complete -p $program && test -s /usr/share/zsh/vendor-completions/_$program"
  done
  check 'man receiver.toml explains its keys' inside sh -c 'man receiver.toml | grep -q min_free_bytes'
  check 'man lab-host.toml too' inside sh -c 'man lab-host.toml | grep -q scan_interval_s'
  check 'the units are what systemd understands' inside systemd-analyze verify --man=no \
    cis490-receiver.service cis490-receiver.socket cis490-shipper.service cis490-verify.timer
}

# next_package DEB: makes a later version of the package with another example configuration.
next_package() {
  local tree=$scratch/next-package
  rm -rf "$tree"
  dpkg-deb --raw-extract "$1" "$tree"
  sed -i 's/^Version: .*/&+next/' "$tree/DEBIAN/control"
  sed -i '$a # a comment that the next version brings' "$tree"/etc/cis490/*.toml
  dpkg-deb --root-owner-group -Zgzip -z1 --build "$tree" "$scratch/next.deb" >/dev/null
}

an_upgrade_keeps_configuration_and_data() {
  local rows unit
  put_receiver_to_work
  rows=$(inside cat /var/lib/cis490/index.jsonl | sha256sum)
  inside sh -c 'sha256sum /etc/cis490/*' >"$scratch/configuration"
  local -A pid
  for unit in cis490-receiver cis490-shipper; do pid[$unit]=$(property $unit MainPID); done
  begin_uploads upgrade
  next_package "$receiver_deb"
  check 'the receiver is upgraded' install_package "$scratch/next.deb"
  next_package "$shipper_deb"
  check 'the shipper is upgraded' install_package "$scratch/next.deb"
  check 'both are the new version' inside sh -c 'dpkg-query --show --showformat "\${Version}\n" cis490-receiver cis490-shipper | grep -c next | grep -q 2'
  for unit in cis490-receiver cis490-shipper; do
    check "$unit runs again" inside systemctl is-active $unit.service
    check 'as another process' test "${pid[$unit]}" != "$(property $unit MainPID)"
  done
  end_uploads upgrade
  equal 'the configurations are what they were' "$(inside sh -c 'sha256sum /etc/cis490/*.toml /etc/cis490/token*')" \
    "$(grep -v dpkg "$scratch/configuration")"
  equal 'the rows from before are what they were' "$(inside head -n "$uploads_before" /var/lib/cis490/index.jsonl | sha256sum)" "$rows"
}

a_removed_package_leaves_the_episodes() {
  local before
  before=$(inside find /var/lib/cis490/episodes /var/lib/cis490/index.jsonl -type f | sort)
  check 'removing stops what runs' inside dpkg --remove cis490-receiver cis490-shipper
  equal 'really' "$(inside sh -c 'pgrep -x cis490-receiver; pgrep -x cis490-shipper; true')" ''
  check 'purging works' inside dpkg --purge cis490-receiver cis490-shipper
  equal 'every episode is still there' "$(inside find /var/lib/cis490/episodes /var/lib/cis490/index.jsonl -type f | sort)" "$before"
  equal 'the token file is not the package'"'"'s' "$(inside ls /etc/cis490)" "$(printf 'token\ntokens\ntokens.lock')"
  equal 'no unit is left enabled' "$(inside find /etc/systemd/system -name 'cis490-*')" ''
}

# Installs from a checkout in the install root, as a lab host may do.
install_from_checkout() {
  inside /opt/cis490/scripts/install-receiver.sh "$@" && inside /opt/cis490/scripts/install-lab-host.sh "$@"
}

the_install_scripts_can_be_run_again() {
  local pid
  inside mkdir -p /opt/cis490/target/release
  tar --create --directory "$checkout" scripts systemd etc packaging | inside tar --extract --directory /opt/cis490
  refused 'without programs there is nothing to install' install_from_checkout
  local program
  for program in cis490-receiver cis490-shipper cis490-index-backfill cis490-verify cis490-man-pages; do
    put "$programs/$program" "/opt/cis490/target/release/$program" 755
  done
  check 'they install' install_from_checkout
  check 'nothing is started' bash -c '[[ $1 == inactive ]]' bash "$(property cis490-receiver ActiveState)"
  configure_receiver
  put_receiver_to_work
  pid=$(property cis490-receiver MainPID)
  check 'again' install_from_checkout
  check 'which changes nothing' bash -c '[[ $1 == *"in place already"*"in place already"* && $1 != *installed* ]]' bash "$said"
  check 'also with what is installed as the source' install_from_checkout /usr/bin
  equal 'and restarts nothing' "$(property cis490-receiver MainPID)" "$pid"
  inside sh -c 'printf "\n" >>/opt/cis490/target/release/cis490-receiver'
  check 'a new program' inside /opt/cis490/scripts/install-receiver.sh
  check 'is restarted where it ran' bash -c '[[ $1 != 0 && $1 != "$2" ]]' bash "$(property cis490-receiver MainPID)" "$pid"
  equal 'and not started where it did not' "$(property cis490-shipper ActiveState)" inactive
}
