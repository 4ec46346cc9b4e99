#!/usr/bin/env bash
# End the Docker engine start.sh started, and no other: stop.sh [RUN]
# Containers end with it. CLOSET_DOCKER_DEADLINE: seconds (60).
set -euo pipefail

run=${1:-/var/run}
deadline=${CLOSET_DOCKER_DEADLINE:-60}
pidfile=$run/closet-dockerd.pid

fail() { echo "stop.sh: $1" >&2; exit 3; }
# A number may belong to something else by now, or to a dead process nobody has reaped.
runs() { grep -qs '(dockerd) [^ZX]' "/proc/$1/stat"; }

if [ ! -s "$pidfile" ]; then
    echo "docker: no engine of ours ($pidfile)"
    exit 0
fi
pid=$(cat "$pidfile")
if ! runs "$pid"; then
    rm -f "$pidfile"
    echo "docker: engine $pid was gone already"
    exit 0
fi
kill "$pid" || fail "cannot signal dockerd $pid"
while runs "$pid"; do
    [ "$SECONDS" -lt "$deadline" ] || fail "dockerd $pid did not end within $deadline s"
    sleep 0.1
done
rm -f "$pidfile"
echo "docker: engine $pid ended"
