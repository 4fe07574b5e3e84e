# shellcheck shell=bash
# A collector and a lab host on one machine: the clone, the configurations, and the way of episodes between them.

clone=/home/max/cis490

# Makes the maintainer's clone as in accident 4: of another user, in a closed home, with a strict umask. Its first
# commit is in another repository, whose objects it borrows.
make_clone() {
  inside useradd --create-home max
  inside chmod 700 /home/max
  inside runuser -u max -- sh -c "umask 077 && git init --quiet $clone.lender"
  (clone+=.lender && commit_to_clone one)
  inside runuser -u max -- sh -c "umask 077 && git clone --quiet --shared $clone.lender $clone"
  # A program that our git must not run.
  inside runuser -u max -- git -C "$clone" config core.fsmonitor 'touch /tmp/clone-ran-a-program'
}

# commit_to_clone MESSAGE: commits as the maintainer with a strict umask, and prints the commit.
commit_to_clone() {
  inside runuser -u max -- sh -c "umask 077 && cd $clone && git -c user.name=max -c user.email=max@example.org \
    -c core.fsmonitor= commit --quiet --allow-empty --message '$1' && git rev-parse HEAD"
}

newest_commit() {
  inside runuser -u max -- git -C "$clone" rev-parse HEAD
}

# configure_receiver [LINES]: writes the configuration with the clone, a token file and further lines.
configure_receiver() {
  inside sh -c 'cat >/etc/cis490/receiver.toml' <<TOML
[auth]
tokens_file = "/etc/cis490/tokens"
[version_gate]
repo_path = "$clone"
poll_interval_s = 1
${1:-}
TOML
}

# configure_shipper URL [LINES]
configure_shipper() {
  inside sh -c 'cat >/etc/cis490/lab-host.toml' <<TOML
host_id = "lab-1"
[receiver]
url = "$1"
${2:-}
[queue]
scan_interval_s = 1
TOML
}

# Starts receiver and shipper as the package advises.
put_receiver_to_work() {
  inside systemctl daemon-reload
  inside systemctl enable --quiet --now cis490-receiver.socket cis490-receiver.service
}
put_shipper_to_work() {
  inside systemctl daemon-reload
  inside systemctl enable --quiet --now cis490-shipper.service
}

# record ID COMMIT: makes an episode like a recorder.
record() {
  inside runuser -u cis490 -- sh -c "umask 027 && mkdir -p /var/lib/cis490/data/episodes/$1 && cd /var/lib/cis490/data/episodes/$1 &&
    echo '{\"episode_id\":\"$1\",\"schema_version\":1,\"code_version\":{\"commit\":\"$2\",\"dirty\":false}}' >meta.json &&
    head -c 300000 /dev/urandom >network.pcap && : >done.marker" 2>&1
}

# is_shipped ID: the lab host has it in shipped/, and the collector has its archive and exactly one row.
is_shipped() {
  inside test -d "/var/lib/cis490/data/shipped/$1" -a -f "/var/lib/cis490/episodes/lab-1/$1.tar.zst" &&
    [[ $(rows_of "$1") == 1 ]]
}
rows_of() {
  inside grep -c "\"episode_id\":\"$1\"" /var/lib/cis490/index.jsonl
}

incident_09_a_host_without_a_name_is_not_started_again() {
  refused 'the shipped example does not start' inside systemctl start cis490-shipper.service
  equal 'its exit code says why' "$(property cis490-shipper ExecMainStatus)" 78
  equal 'it stays down' "$(property cis490-shipper ActiveState)/$(property cis490-shipper SubState)" failed/failed
  check 'the log names the key and the next command' bash -c \
    '[[ $1 == *host_id*REPLACE_ME* && $1 == *--check-config* ]]' bash "$(journal cis490-shipper)"
  inside systemctl reset-failed cis490-shipper.service
}

incident_04_a_clone_of_another_user_in_a_closed_home_is_read() {
  local commit pid
  make_clone >/dev/null
  configure_receiver
  inside cis490-receiver token add lab-1 >"$scratch/token"
  inside sh -c 'chown root:cis490 /etc/cis490/tokens'
  check 'the receiver starts' put_receiver_to_work
  check 'its gate has the clone' health_is ok
  commit=$(commit_to_clone two)
  check 'a commit that its owner makes counts, whatever his umask' within 20 admits "$commit"
  refused 'the service user itself cannot get into the home' inside runuser -u cis490 -- ls /home/max
  pid=$(property cis490-receiver MainPID)
  equal 'of all homes the service sees the clone alone, and where that borrows' \
    "$(in_namespace "$pid" find /home -maxdepth 3 -not -path "$clone/*" | sort)" \
    "$(printf '/home\n/home/max\n%s\n%s\n%s' "$clone" "$clone.lender" "$clone.lender/.git")"
  refused 'not even root writes it there' in_namespace "$pid" touch "$clone/.git/written"
  refused 'no program of the clone was run' inside test -e /tmp/clone-ran-a-program
}

# in_namespace PID CMD ARG...: runs a command as root in the mount namespace of a service.
in_namespace() {
  inside nsenter --target "$1" --mount -- "${@:2}"
}
health_is() {
  [[ $(inside curl --silent --max-time 5 http://127.0.0.1:8444/v1/health | jq -r .status) == "$1" ]]
}
admits() {
  [[ $(inside curl --silent --max-time 5 --oauth2-bearer "$(cat "$scratch/token")" "http://127.0.0.1:8444/v1/gate/$1" | jq -r .admitted) == true ]]
}

an_episode_is_shipped_from_one_unit_to_the_other() {
  configure_shipper http://127.0.0.1:8444 'token_file = "/etc/cis490/token"'
  put "$scratch/token" /etc/cis490/token 600
  check 'the shipper starts' put_shipper_to_work
  record first "$(newest_commit)"
  check 'the episode arrives' within 30 is_shipped first
  check 'its token is handed over by systemd' inside test -e /run/credentials/cis490-shipper.service/token
  refused 'and is nothing that the service could read itself' inside runuser -u cis490 -- cat /etc/cis490/token
}

the_weekly_verify_looks_at_every_episode() {
  # systemd keeps the result of the last run while the timer is active.
  check 'the timer waits for its day' inside systemctl enable --now cis490-verify.timer
  check 'verify runs in its unit' inside systemctl start cis490-verify.service
  equal 'and finds the store whole' "$(property cis490-verify ExecMainStatus)" 0
  inside sh -c 'cd /var/lib/cis490/episodes/lab-1 && cp -p first.tar.zst /root && printf x | dd of=first.tar.zst bs=1 seek=9 conv=notrunc status=none'
  check 'a fault that it finds is no failure of the unit' inside systemctl start cis490-verify.service
  equal 'but is told' "$(property cis490-verify ExecMainStatus)" 3
  check 'the journal has it as an error' bash -c '[[ $1 == *"lab-1/first is damaged"* && $1 != *"found 1 error"* ]]' \
    bash "$(inside journalctl --sync; inside journalctl --unit cis490-verify --priority err --output cat)"
  check 'the receiver tells of it' within 30 health_is degraded
  inside cp -p /root/first.tar.zst /var/lib/cis490/episodes/lab-1/first.tar.zst
  check 'verify finds the store mended' inside systemctl start cis490-verify.service
  check 'and so does the receiver' within 30 health_is ok
}

# Runs the commands for notices from operators.md unchanged, with a `mail` that keeps its input.
what_verify_finds_reaches_a_person() {
  inside sh -c 'printf "#!/bin/sh\n(echo \"\$*\"; cat) >/run/mailed\n" >/usr/local/bin/mail && chmod 755 /usr/local/bin/mail'
  { echo 'sudo() { "$@"; }'; sed -n '/^To be told by mail/,/^`OnFailure=` alone/{/^```sh/,/^```$/{/^```/!p}}' "$checkout/docs/operators.md"; } >"$scratch/notify"
  put "$scratch/notify" /root/notify
  check 'the notice is set up as operators.md says' inside bash -eu /root/notify
  check 'verify runs' inside systemctl start cis490-verify.service
  within 3 inside test -e /run/mailed || true
  refused 'nothing is sent of a store that is whole' inside test -e /run/mailed
  inside sh -c 'cd /var/lib/cis490/episodes/lab-1 && cp -p first.tar.zst /root && printf x | dd of=first.tar.zst bs=1 seek=9 conv=notrunc status=none'
  check 'verify runs again' inside systemctl start cis490-verify.service
  check 'a fault is sent' within 30 inside grep -q 'lab-1/first is damaged' /run/mailed
  check 'with the exit code' inside grep -q 'cis490-verify.service ended with 3' /run/mailed
  inside cp -p /root/first.tar.zst /var/lib/cis490/episodes/lab-1/first.tar.zst
  inside rm /run/mailed
  inside mv /var/lib/cis490/index.jsonl /root/index.jsonl
  inside mkdir /var/lib/cis490/index.jsonl
  refused 'verify cannot look' inside systemctl start cis490-verify.service
  check 'that is sent too' within 30 inside grep -q 'cis490-verify.service ended with 1' /run/mailed
  inside sh -c 'rmdir /var/lib/cis490/index.jsonl && mv /root/index.jsonl /var/lib/cis490/index.jsonl'
  inside rm -r /etc/systemd/system/cis490-verify.service.d /etc/systemd/system/cis490-notify@.service /run/mailed
  inside systemctl daemon-reload
  check 'verify finds the store whole again' inside systemctl start cis490-verify.service
}

# Store, index and report at paths of the configuration, outside the unit's own sandbox, once in a home.
the_weekly_verify_follows_the_configuration() {
  local place
  inside cp -a /etc/cis490/receiver.toml /root/receiver.toml
  for place in /srv/collected /home/collected; do
    inside sh -ec "install -d -o cis490 -g cis490 -m 750 $place && cp -a /var/lib/cis490/episodes /var/lib/cis490/index.jsonl $place &&
      install -d -o cis490 -g cis490 -m 750 $place/verified && printf x | dd of=$place/episodes/lab-1/first.tar.zst bs=1 seek=9 conv=notrunc status=none"
    configure_receiver "[store]
episodes_root = \"$place/episodes\"
index = \"$place/index.jsonl\"
verify_report = \"$place/verified/report.json\""
    inside systemctl daemon-reload
    check "verify runs with a store in $place" inside systemctl start cis490-verify.service
    equal 'it finds the real damage' "$(property cis490-verify ExecMainStatus)" 3
    equal 'and nothing else' "$(inside cat $place/verified/report.json | jq -r 'select(.type == "finding") | "\(.finding) \(.path)"')" \
      "hash-differs $place/episodes/lab-1/first.tar.zst"
    try_to_write_as_verify "$place"
  done
  inside sh -c 'mv /root/receiver.toml /etc/cis490/receiver.toml && rm -r /srv/collected /home/collected'
  inside systemctl daemon-reload
}

# try_to_write_as_verify PLACE: runs another program in the sandbox of the unit.
try_to_write_as_verify() {
  inside sh -ec "mkdir -p /run/systemd/system/cis490-verify.service.d &&
    printf '[Service]\\nExecStart=\\nExecStart=-/bin/touch $1/verified/written $1/episodes/written $1/written\\n' \
      >/run/systemd/system/cis490-verify.service.d/90-try.conf && systemctl daemon-reload && systemctl start cis490-verify.service"
  check 'its unit may write the report' inside test -e "$1/verified/written"
  refused 'and neither the store' inside test -e "$1/episodes/written"
  refused 'nor the directory of the index' inside test -e "$1/written"
  inside rm -r /run/systemd/system/cis490-verify.service.d
}

a_lab_host_says_how_it_does_and_sends_what_the_maintainer_admits() {
  local stranger
  stranger=$(printf 'ab%.0s' {1..20})
  # The next scan is an hour away, so only an event of the kernel can find new episodes, even in the sandbox.
  inside sed -i 's/^scan_interval_s = .*/scan_interval_s = 3600/' /etc/cis490/lab-host.toml
  check 'the shipper starts with a rare scan' inside systemctl restart cis490-shipper.service
  record noticed "$(newest_commit)"
  check 'an episode is noticed at once' within 30 is_shipped noticed
  record stranger "$stranger"
  check 'one of a commit that nobody knows is kept, with the reason' within 30 \
    inside test -f /var/lib/cis490/data/quarantine/stranger/quarantine_reason.json
  check 'systemctl status says so in a line' within 30 status_line_has refused
  check 'cis490-shipper status says what to paste' status_has 'git pull origin main'
  refused 'somebody else is told as whom to ask' inside runuser -u max -- cis490-shipper status
  check 'and how' bash -c '[[ $1 == *"sudo -u cis490"* ]]' bash "$said"
  check 'root admits the commit for this host' \
    inside cis490-receiver admit "$stranger" --host lab-1 --until 1d --reason 'a local fix'
  equal 'what root wrote is the service'"'"'s' "$(inside stat -c %U /var/lib/cis490/admitted.json)" cis490
  check 'the episode returns and arrives by itself' within 90 is_shipped stranger
  check 'its acceptance is marked' bash -c '[[ $1 == *"accepted under an amnesty"* ]]' bash "$(journal cis490-receiver)"
  check 'the status is calm again' within 30 status_is_calm
  inside sed -i 's/^scan_interval_s = .*/scan_interval_s = 1/' /etc/cis490/lab-host.toml
  inside systemctl restart cis490-shipper.service
}
status_line_has() {
  [[ $(property cis490-shipper StatusText) == *"$1"* ]]
}
status_has() {
  [[ $(inside runuser -u cis490 -- cis490-shipper status) == *"$1"* ]]
}
status_is_calm() {
  ! status_has help:
}

# TLS in the receiver without a proxy: both ends show certificates.
episodes_are_shipped_over_mutual_tls() {
  inside cp -a /etc/cis490/receiver.toml /root/receiver.toml
  make_certificates
  configure_receiver '[server]
listen = ["127.0.0.1:8444"]
tls = { cert_file = "/etc/cis490/server.pem", key_file = "/etc/cis490/server.key" }'
  inside sed -i 's#^\[auth\]$#&\nclient_ca_file = "/etc/cis490/ca.pem"#' /etc/cis490/receiver.toml
  configure_shipper https://localhost:8444 'ca_file = "/etc/cis490/ca.pem"
client_cert_file = "/etc/cis490/lab-1.pem"
client_key_file = "/etc/cis490/lab-1.key"'
  inside systemctl daemon-reload
  check 'the receiver starts with certificates' inside systemctl restart cis490-receiver.service
  check 'so does the shipper' inside systemctl restart cis490-shipper.service
  record over-tls "$(newest_commit)"
  check 'the episode arrives' within 30 is_shipped over-tls
  refused 'the keys are nothing that the services could read themselves' \
    inside runuser -u cis490 -- cat /etc/cis490/server.key
  refused 'a client without a certificate gets nowhere' inside curl --silent --fail --max-time 5 \
    --cacert /etc/cis490/ca.pem https://localhost:8444/v1/gate
  inside systemctl stop cis490-shipper.service
  take_certificates_back
  inside systemctl daemon-reload
  inside systemctl restart cis490-receiver.service
}
take_certificates_back() {
  inside sh -c 'mv /root/receiver.toml /etc/cis490/receiver.toml && rm /etc/cis490/*.pem /etc/cis490/*.key'
}

# Makes an authority and the certificates of the collector and of lab-1; only root can read the keys.
make_certificates() {
  local dir=$scratch/certificates name
  mkdir -p "$dir"
  openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj '/CN=lab authority' \
    -keyout "$dir/ca.key" -out "$dir/ca.pem" 2>/dev/null
  for name in server:localhost:serverAuth lab-1:lab-1:clientAuth; do
    IFS=: read -r file host usage <<<"$name"
    openssl req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj "/CN=$host" -keyout "$dir/$file.key" \
      -out "$dir/$file.csr" 2>/dev/null
    openssl x509 -req -in "$dir/$file.csr" -CA "$dir/ca.pem" -CAkey "$dir/ca.key" -CAcreateserial -days 2 \
      -extfile <(printf 'subjectAltName=DNS:%s\nextendedKeyUsage=%s\n' "$host" "$usage") -out "$dir/$file.pem" 2>/dev/null
    put "$dir/$file.pem" "/etc/cis490/$file.pem"
    put "$dir/$file.key" "/etc/cis490/$file.key" 600
  done
  put "$dir/ca.pem" /etc/cis490/ca.pem
}
