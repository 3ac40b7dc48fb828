#!/usr/bin/env bash
# Starts a one-node SLURM cluster on the loopback interface from Debian's packages slurm-wlm and munge (tried with 22.05),
# as root, without systemd, slurmdbd or cgroups; prints the node. Safe to run twice.
#
# Everything lies in $CLUSTER_STATE. The one thing outside it is the link /etc/slurm/slurm.conf: Snakemake's job step drops
# SLURM_CONF before its inner srun. On failure the daemons' logs are printed; what came up stays up until stop_cluster.sh.
#
# CLUSTER_STATE (a short path), CLUSTER_CPUS, CLUSTER_MEM_MB, CLUSTER_GPUS (0 to 4; they are fake), CLUSTER_CTLD_PORT, CLUSTER_D_PORT
set -Eeuo pipefail
umask 022
export LC_ALL=C.UTF-8
unset ${!SLURM_@} ${!SBATCH_@} ${!SRUN_@} # e.g. a stray SLURM_JOB_ID or SLURM_CONF
HERE=$(dirname "$(readlink -f "$0")")
STATE=$(readlink -m "${CLUSTER_STATE:-${TMPDIR:-/tmp}/layerrank-slurm}")
CPUS=${CLUSTER_CPUS:-4} MEM=${CLUSTER_MEM_MB:-4000} GPUS=${CLUSTER_GPUS:-2}
CTLD_PORT=${CLUSTER_CTLD_PORT:-16817} D_PORT=${CLUSTER_D_PORT:-16818}
SINFO="sinfo -o %P|%a|%N|%T|%c|%m|%G"
CONF=$STATE/slurm.conf LINK=/etc/slurm/slurm.conf SOCK=$STATE/munge.sock

say() { echo "[start_cluster] $*" >&2; }
die() {
  trap - ERR; say "ERROR: $*"
  [ -z "${STARTED:-}" ] || for f in munged slurmctld slurmd; do [ ! -s "$STATE/$f.log" ] || { say "--- tail $f.log"; tail -n 15 "$STATE/$f.log" >&2; }; done
  exit 1
}
trap 'die "line $LINENO: $BASH_COMMAND"' ERR
# true if the pid in file $1 is alive and is the program $2 (never trust a bare pid)
alive() { local p; p=$(cat "$1" 2>/dev/null) && [ -n "$p" ] && [[ "$(readlink "/proc/$p/exe" 2>/dev/null)" == *"/$2"* ]]; }
node_up() { [[ "$(timeout 5 sinfo -h -n localhost -o %T 2>/dev/null)" =~ ^(idle|mixed|allocated|completing)$ ]]; }
# wait_for SECONDS CMD...
wait_for() { local end=$((SECONDS + $1)); shift; until "$@"; do [ $SECONDS -lt $end ] || return 1; sleep 0.2; done; }

[ "$(id -u)" = 0 ] || die "must run as root"

# Install.
need() { local c; for c in munged munge slurmctld slurmd sbatch srun squeue sinfo scancel; do command -v $c >/dev/null || return 0; done; return 1; }
if need; then
  say "installing slurm-wlm and munge"
  export DEBIAN_FRONTEND=noninteractive
  apt-get update -q >&2
  apt-get install -y -q --no-install-recommends slurm-wlm munge >&2
  ! need || die "slurm programs still missing after apt-get install"
fi

# Configure.
mkdir -p "$STATE"; exec 9>"$STATE/lock"; flock -w 120 9 || die "another start_cluster holds $STATE/lock"
if [ -L "$LINK" ]; then # a link to another state folder is taken over only if that cluster is dead
  other=$(dirname "$(readlink "$LINK")")
  [ "$other" = "$STATE" ] || ! alive "$other/slurmctld.pid" slurmctld || die "a cluster with state in $other is running: stop it first"
elif [ -e "$LINK" ]; then die "$LINK is a real file: this machine has its own SLURM configuration, not touching it"
fi
if alive "$STATE/munged.pid" munged && alive "$STATE/slurmctld.pid" slurmctld && alive "$STATE/slurmd.pid" slurmd && node_up; then
  say "already running"; $SINFO; exit 0
fi
"$HERE/stop_cluster.sh" --quiet || die "could not clear the leftovers of an earlier start"

# NoInAddrAny makes slurmctld, slurmd and srun listen only on the address of the machine's own host name,
# so that name must resolve to a loopback address (127.0.0.1, or Debian's usual 127.0.1.1)
ADDR=$(getent ahostsv4 "$(hostname)" | awk '{print $1; exit}' || true)
[[ $ADDR == 127.* ]] || die "host name '$(hostname)' resolves to '${ADDR:-nothing}', need 127.x: echo 127.0.0.1 $(hostname) >>/etc/hosts"

mkdir -p "$STATE"/{ctld,spool}; rm -rf "${STATE:?}"/ctld/* "${STATE:?}"/spool/* "$STATE"/*.log "$STATE/jobcomp.txt"
cat >"$CONF" <<CONF_END
ClusterName=ci
SlurmctldHost=localhost($ADDR)
SlurmctldPort=$CTLD_PORT
SlurmdPort=$D_PORT
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
CredType=cred/munge
AuthInfo=socket=$SOCK
CommunicationParameters=NoCtldInAddrAny,NoInAddrAny
StateSaveLocation=$STATE/ctld
SlurmdSpoolDir=$STATE/spool
SlurmctldPidFile=$STATE/slurmctld.pid
SlurmdPidFile=$STATE/slurmd.pid
SlurmctldLogFile=$STATE/slurmctld.log
SlurmdLogFile=$STATE/slurmd.log
SlurmctldDebug=info
SlurmdDebug=info
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
SchedulerParameters=batch_sched_delay=0,sched_interval=2,bf_interval=2
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
MailProg=/bin/true
SwitchType=switch/none
ReturnToService=2
KillWait=2
MinJobAge=3600
JobRequeue=0
SlurmdParameters=config_overrides
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=task=1
JobAcctGatherParams=OverMemoryKill
AccountingStorageType=accounting_storage/none
JobCompType=jobcomp/filetxt
JobCompLoc=$STATE/jobcomp.txt
GresTypes=gpu
DefMemPerCPU=100
NodeName=localhost NodeAddr=$ADDR CPUs=$CPUS RealMemory=$MEM Gres=gpu:$GPUS State=UNKNOWN
PartitionName=main Nodes=localhost Default=YES MaxTime=INFINITE DefaultTime=5 State=UP OverSubscribe=NO
CONF_END
# one device file per fake GPU (they are never opened, only stat'ed)
devs=(/dev/null /dev/zero /dev/full /dev/random); : >"$STATE/gres.conf"
for ((i = 0; i < GPUS; i++)); do echo "NodeName=localhost Name=gpu File=${devs[i]}" >>"$STATE/gres.conf"; done
mkdir -p /etc/slurm; ln -sfn "$CONF" "$LINK"

# Start: own key and socket: no /run/munge, no munge user; --force: a stale socket or a group-writable checkout is no obstacle
[ ${#SOCK} -lt 100 ] || die "socket path too long for AF_UNIX: $SOCK (set CLUSTER_STATE to a shorter folder)"
if [ ! -s "$STATE/munge.key" ]; then (umask 077; head -c 128 /dev/urandom >"$STATE/munge.key"); fi
chmod 600 "$STATE/munge.key"
STARTED=1
munged --force --socket="$SOCK" --key-file="$STATE/munge.key" --pid-file="$STATE/munged.pid" \
       --log-file="$STATE/munged.log" --seed-file="$STATE/munge.seed" 9>&-
munge -S "$SOCK" -n | unmunge -S "$SOCK" >/dev/null
slurmctld -c -f "$CONF" 9>&-
wait_for 20 timeout 3 scontrol ping >/dev/null 2>&1 || die "slurmctld does not answer"
slurmd -f "$CONF" 9>&-
wait_for 30 node_up || { timeout 5 scontrol show node localhost >&2 || true; die "the node did not come up"; }

# Prove that a job runs.
[ "$(timeout 30 srun -n1 -t1 --mem=50 echo ok)" = ok ] || die "srun test job failed"
say "ready in ${SECONDS}s: $(slurmctld -V), state in $STATE"
$SINFO
