#!/usr/bin/env bash
# Start a Docker engine by hand, where no init system does: start.sh [DATA [RUN]]
# DATA (/var/lib/docker) holds images and containers; RUN (/var/run) state, pidfile and log.
# The socket is that of DOCKER_HOST, or Docker's own. CLOSET_DOCKER_DEADLINE: seconds (60).
set -euo pipefail

data=${1:-/var/lib/docker}
run=${2:-/var/run}
deadline=${CLOSET_DOCKER_DEADLINE:-60}
pidfile=$run/closet-dockerd.pid
log=$run/closet-dockerd.log
containerd=/run/containerd/containerd.sock

fail() { echo "start.sh: $1" >&2; exit 3; }
server() { timeout 10 docker info --format '{{.ServerVersion}}' 2>/dev/null; }
milliseconds() { local now=${EPOCHREALTIME/[.,]/}; echo $((now / 1000)); }

# Frames that cross a bridge of a lab are not the host firewall's business.
knob=/proc/sys/net/bridge/bridge-nf-call-iptables
if [ -e "$knob" ] && [ "$(cat "$knob")" != 0 ]; then
    echo 0 2>/dev/null >"$knob" || echo "start.sh: cannot set net.bridge.bridge-nf-call-iptables=0" >&2
fi

command -v docker >/dev/null || fail "the 'docker' command is missing"
if version=$(server) && [ -n "$version" ]; then
    echo "docker: engine $version answers already"
    exit 0
fi

export DOCKER_HOST=${DOCKER_HOST:-unix:///var/run/docker.sock}
case $DOCKER_HOST in
    unix://*) ;;
    *) fail "DOCKER_HOST=$DOCKER_HOST does not answer, and only a local engine can be started" ;;
esac
[ "$(id -u)" = 0 ] || fail "must run as root"
command -v dockerd >/dev/null || fail "dockerd is missing (see install.sh)"

# dockerd starts its own containerd, unless it finds a socket: one left by a dead
# containerd would keep it waiting in vain.
if [ -S "$containerd" ] && ! timeout 5 ctr version >/dev/null 2>&1; then
    rm -f "$containerd"
fi

# dockerd refuses to start over the pidfile of a dead dockerd that nobody has reaped,
# which is how a killed one stays where process 1 is no real init.
if [ -s "$pidfile" ] && ! grep -qs '(dockerd) [^ZX]' "/proc/$(cat "$pidfile")/stat"; then
    rm -f "$pidfile"
fi

mkdir -p "$data" "$run" || fail "cannot make $data and $run"
begin=$(milliseconds)
setsid dockerd --host "$DOCKER_HOST" --data-root "$data" --exec-root "$run/docker" --pidfile "$pidfile" \
    --iptables=false --storage-driver overlay2 </dev/null >"$log" 2>&1 &
pid=$!

while ! { version=$(server) && [ -n "$version" ]; }; do
    if ! kill -0 "$pid" 2>/dev/null; then
        tail -n 15 "$log" >&2
        fail "dockerd ended; its log is $log"
    fi
    if [ $(($(milliseconds) - begin)) -ge $((deadline * 1000)) ]; then
        kill "$pid" || true
        tail -n 15 "$log" >&2
        fail "docker info did not answer within $deadline s; dockerd's log is $log"
    fi
    sleep 0.1
done
echo "docker: engine $version answers after $(($(milliseconds) - begin)) ms (pid $pid, log $log)"
