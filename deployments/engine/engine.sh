#!/usr/bin/env bash
# Starts a Docker Engine on a machine that has none (a bare Debian, a CI job). Root only.
#
#   engine.sh up      install if need be, start, wait until it answers; nothing if one answers
#   engine.sh down    stop the engine that `up` started, its containers first; images stay
#
# It listens where every client looks, /var/run/docker.sock, or on FLYWHEEL_ENGINE_SOCKET. Its
# containers get no network: it touches neither bridges nor the firewall of its host.
set -euo pipefail

home=${FLYWHEEL_ENGINE_DIR:-/var/tmp/flywheel-engine}
socket=${FLYWHEEL_ENGINE_SOCKET:-/var/run/docker.sock}

answers() { curl --silent --fail --max-time 3 --unix-socket "$socket" http://engine/_ping >/dev/null 2>&1; }

install_engine() {
  if command -v dockerd >/dev/null && [ -x /bin/busybox ]; then return; fi
  apt-get -o DPkg::Lock::Timeout=300 update -qq
  DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=300 install -y -qq \
    --no-install-recommends docker.io busybox-static curl >/dev/null
}

# A killed engine leaves pid files, and a new one refuses to start while such a pid seems alive.
clear_stale_pids() {
  local file pid
  for file in "$home/docker.pid" "$home/exec/containerd/containerd.pid"; do
    [ -f "$file" ] || continue
    pid=$(cat "$file")
    # A zombie has an empty command line.
    if [ -z "$(tr -d '\0' <"/proc/$pid/cmdline" 2>/dev/null)" ]; then rm -f "$file"; fi
  done
}

up() {
  install_engine
  if answers; then return; fi
  install -d -m 755 "$home"
  clear_stale_pids
  setsid dockerd --host "unix://$socket" --pidfile "$home/docker.pid" \
    --data-root "$home/data" --exec-root "$home/exec" --group root \
    --storage-driver overlay2 --exec-opt native.cgroupdriver=cgroupfs \
    --bridge none --iptables=false --ip6tables=false --ip-forward=false --ip-masq=false \
    >"$home/dockerd.log" 2>&1 </dev/null &
  local engine=$! tries
  for ((tries = 0; tries < 300; tries++)); do
    if answers; then return; fi
    kill -0 "$engine" 2>/dev/null || break
    sleep 0.1
  done
  echo "the engine did not start; the end of $home/dockerd.log:" >&2
  tail -n 20 "$home/dockerd.log" >&2
  exit 1
}

down() {
  local pid state
  pid=$(cat "$home/docker.pid" 2>/dev/null || true)
  if [ -z "$pid" ] || ! grep -qa dockerd "/proc/$pid/cmdline" 2>/dev/null; then return; fi
  if answers; then
    DOCKER_HOST=unix://$socket docker ps --all --quiet |
      DOCKER_HOST=unix://$socket xargs --no-run-if-empty docker rm --force --volumes >/dev/null
  fi
  kill -TERM "$pid"
  while state=$(awk '{print $3}' "/proc/$pid/stat" 2>/dev/null) && [ -n "$state" ] && [ "$state" != Z ]; do
    sleep 0.1
  done
}

case ${1:-} in
  up) up ;;
  down) down ;;
  *) sed -n '2,8s/^# \{0,1\}//p' "$0" >&2; exit 2 ;;
esac
