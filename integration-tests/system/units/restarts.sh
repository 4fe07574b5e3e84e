# shellcheck shell=bash
# Uploads while the receiver is stuck, restarted or upgraded.

# limit_watchdog UNIT SECONDS: shortens the watchdog's limit, which is long because of slow disks.
limit_watchdog() {
  inside mkdir -p "/run/systemd/system/$1.d"
  inside sh -c "printf '[Service]\nWatchdogSec=%s\n' $2 >/run/systemd/system/$1.d/60-watchdog.conf"
  inside systemctl daemon-reload
  inside systemctl restart "$1"
}
was_started_again() {
  [[ $(property "$1" NRestarts) -ge 1 && $(property "$1" ActiveState) == active ]]
}

incident_07_a_stopped_receiver_is_started_again_by_the_watchdog_and_nothing_is_lost() {
  local unit pid
  limit_watchdog cis490-receiver.service 3
  limit_watchdog cis490-shipper.service 3
  check 'one that works is left alone' within 20 several_beats cis490-receiver
  equal 'so far' "$(property cis490-receiver NRestarts)" 0
  record during-the-hang "$(newest_commit)" &
  for unit in cis490-receiver cis490-shipper; do
    pid=$(property $unit MainPID)
    inside kill -STOP "$pid"
    check "$unit: one that is stuck is started again" within 60 was_started_again $unit
    check 'by the watchdog' bash -c '[[ $1 == *"Watchdog timeout"* ]]' bash "$(journal $unit)"
    refused 'the stuck process is gone' inside test -e "/proc/$pid"
  done
  wait $!
  check 'the episode of that time arrives, once' within 60 is_shipped during-the-hang
  inside rm -r /run/systemd/system/cis490-receiver.service.d /run/systemd/system/cis490-shipper.service.d
  inside systemctl daemon-reload
  inside systemctl restart cis490-receiver.service cis490-shipper.service
}

# several_beats UNIT: the watchdog was last fed more than 4 s after the start, which is longer than its limit.
several_beats() {
  local fed started
  fed=$(property "$1" WatchdogTimestampMonotonic) started=$(property "$1" ExecMainStartTimestampMonotonic)
  ((fed - started > 4000000))
}

a_restart_refuses_nobody() {
  local round
  begin_uploads restart
  for round in 1 2 3; do
    check "restart $round" inside systemctl restart cis490-receiver.service
  done
  end_uploads restart
  check 'it is well' health_is ok
  check 'systemctl reload' inside systemctl reload cis490-receiver.service cis490-shipper.service
  inside systemctl stop cis490-receiver.socket cis490-receiver.service
  equal 'without the socket a client is refused, so the count above counts' \
    "$(inside curl --silent http://127.0.0.1:8444/v1/health >/dev/null; echo $?)" 7
  inside systemctl start cis490-receiver.socket
  equal 'the socket alone is enough: the first client starts the receiver' "$(within 30 health_is ok; property cis490-receiver ActiveState)" active
}

the_socket_follows_the_configuration() {
  local both='cis490-receiver.socket cis490-receiver.service'
  inside cp -a /etc/cis490/receiver.toml /root/receiver.toml
  configure_receiver '[server]
listen = ["127.0.0.1:8445", "unix:/run/cis490/receiver.sock"]
shutdown_timeout_s = 20'
  inside systemctl daemon-reload
  # shellcheck disable=SC2086
  check 'both start with other addresses' inside sh -c "systemctl stop $both && systemctl start $both"
  check 'the new port answers' inside curl --silent --fail http://127.0.0.1:8445/v1/health
  refused 'the old one does not' inside curl --silent --fail http://127.0.0.1:8444/v1/health
  check 'the Unix socket answers' inside curl --silent --fail --unix-socket /run/cis490/receiver.sock http://x/v1/health
  equal 'a proxy in the group may connect, a stranger may not' "$(owner_and_mode /run/cis490/receiver.sock)" 'cis490:cis490 660'
  check 'after a restart' inside systemctl restart cis490-receiver.service
  check 'it answers as before' inside curl --silent --fail --unix-socket /run/cis490/receiver.sock http://x/v1/health
  equal 'a stop takes as long as uploads may' "$(property cis490-receiver TimeoutStopUSec)" 35s
  inside mv /root/receiver.toml /etc/cis490/receiver.toml
  inside systemctl daemon-reload
  inside sh -c "systemctl stop $both && systemctl start $both"
}

# begin_uploads NAME: uploads one after the other until end_uploads, each on a connection of its own. Each line of the
# log is an upload: curl's exit code, and the status.
begin_uploads() {
  uploads_before=$(inside sh -c 'wc -l </var/lib/cis490/index.jsonl')
  inside sh -c "cat >/root/upload" <<'SH'
#!/bin/bash
# upload NAME TOKEN COMMIT: sends episodes one after the other, each until it is stored.
number=0
rm -f /run/uploads-end
while [ ! -e /run/uploads-end ] && [ $SECONDS -lt 120 ]; do
  number=$((number + 1))
  echo "$1 $number" >/run/body
  sha256=$(sha256sum /run/body | cut -d' ' -f1)
  status=
  until [ "$status" = 201 ] || [ "$status" = 200 ]; do
    [ $SECONDS -lt 180 ] || exit 1
    status=$(curl --silent --max-time 60 --output /dev/null --write-out '%{http_code}' --upload-file /run/body \
      --oauth2-bearer "$2" -H "X-Content-SHA256: $sha256" -H "X-Cis490-Code-Commit: $3" \
      "http://127.0.0.1:8444/v1/episodes/lab-1/$1-$number.tar.zst")
    echo "$? $status" >>/run/uploads.log
  done
done
SH
  inside rm -f /run/uploads.log
  inside bash /root/upload "$1" "$(cat "$scratch/token")" "$(newest_commit)" &
  uploads=$!
  # Waits until there are uploads to interrupt.
  within 30 inside sh -c 'test "$(wc -l </run/uploads.log)" -ge 5'
}

end_uploads() {
  local stored log
  check 'there are enough of them' within 60 inside sh -c 'test "$(grep -c " 20[01]$" /run/uploads.log)" -ge 20'
  inside touch /run/uploads-end
  check 'the clients come to their end' wait "$uploads"
  log=$(inside cat /run/uploads.log)
  equal 'no connection was refused' "$(grep -c '^7 ' <<<"$log")" 0
  stored=$(grep -cE ' 20[01]$' <<<"$log")
  equal "each of $stored uploads has its row" "$(inside grep -c "\"episode_id\":\"$1-[0-9]*\"" /var/lib/cis490/index.jsonl)" "$stored"
}
