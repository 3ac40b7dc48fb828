#!/usr/bin/env bash
# Stops the cluster of start_cluster.sh: the processes whose ids its daemons wrote (checked against /proc/PID/exe) and the
# job steps of this cluster, no others. Safe to run twice.
set -Eeuo pipefail
export LC_ALL=C.UTF-8
unset ${!SLURM_@}
HERE=$(dirname "$(readlink -f "$0")")
STATE=$(readlink -m "${CLUSTER_STATE:-${TMPDIR:-/tmp}/layerrank-slurm}")
CONF=$STATE/slurm.conf LINK=/etc/slurm/slurm.conf
[ "${1:-}" = --quiet ] && say() { :; } || say() { echo "[stop_cluster] $*" >&2; }

is() { [[ "$(readlink "/proc/$1/exe" 2>/dev/null)" == *"/$2"* ]]; }
stop_pidfile() { # stop_pidfile FILE PROGRAM
  local pid i; pid=$(cat "$1" 2>/dev/null || true)
  if [ -n "$pid" ] && is "$pid" "$2"; then
    kill -TERM "$pid"
    for ((i = 0; i < 75; i++)); do is "$pid" "$2" || break; sleep 0.2; done
    if is "$pid" "$2"; then say "$2 ($pid) ignores TERM after 15 s, sending KILL"; kill -KILL "$pid"; sleep 0.5; fi
    say "stopped $2 ($pid)"
  fi
  rm -f "$1"
}
stepds() { # pids of slurmstepd processes started by this cluster's slurmd (it sets SLURM_CONF for them)
  local p
  for p in $(pgrep -x slurmstepd || true); do
    if { tr '\0' '\n' <"/proc/$p/environ" | grep -qxF "SLURM_CONF=$CONF"; } 2>/dev/null; then echo "$p"; fi
  done
}
tree() { local c; echo "$1"; for c in $(pgrep -P "$1" || true); do tree "$c"; done; }
[ -d "$STATE" ] || { say "nothing to stop"; exit 0; }
if [ -f "$CONF" ] && [ -s "$STATE/slurmctld.pid" ] && is "$(cat "$STATE/slurmctld.pid")" slurmctld; then
  ids=$(SLURM_CONF=$CONF timeout 10 squeue -h -t PD,R,CG,S -o %A || true)
  if [ -n "$ids" ]; then
    say "cancelling jobs: "$ids; SLURM_CONF=$CONF timeout 10 scancel $ids || true
    for ((i = 0; i < 50; i++)); do [ -n "$(SLURM_CONF=$CONF timeout 10 squeue -h -t PD,R,CG,S -o %A || true)" ] || break; sleep 0.2; done
  fi
fi
stop_pidfile "$STATE/slurmd.pid" slurmd
for p in $(stepds); do # only when slurmctld was gone or a job ignored scancel
  t=$(tree "$p"); say "killing left-over slurmstepd $p and its tasks: "$t; kill -KILL $t 2>/dev/null || true
done
stop_pidfile "$STATE/slurmctld.pid" slurmctld
stop_pidfile "$STATE/munged.pid" munged
[ "$(readlink "$LINK" 2>/dev/null || true)" != "$CONF" ] || rm -f "$LINK"
say "done (logs kept in $STATE)"
