"""A one-node SLURM cluster for tests, and Snakemake runs on it."""

from __future__ import annotations

import itertools
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from support.studies import CHECKOUT

SCRIPTS = Path(__file__).parent / "slurm"
PROGRAMS = ("munged", "munge", "slurmctld", "slurmd", "sbatch", "srun", "squeue", "sinfo", "scancel")
T = TypeVar("T")


def why_not() -> str | None:
    """Why no cluster can be started here, or None."""
    if os.getuid() != 0:
        return "SLURM's daemons need root"
    if not shutil.which("apt-get") and not all(map(shutil.which, PROGRAMS)):
        return "no SLURM, and no Debian to install it from"
    if Path("/etc/slurm/slurm.conf").exists() and not Path("/etc/slurm/slurm.conf").is_symlink():
        return "this machine has a SLURM of its own"
    try:
        address = socket.gethostbyname(socket.gethostname())
    except OSError:
        address = "nothing"
    if not address.startswith("127."):
        return f"the machine's own name resolves to {address}, the cluster listens on loopback alone"
    return None


@dataclass(frozen=True)
class SlurmJob:
    """One job as squeue tells: `what` is the rule or group and its wildcards."""

    number: str
    what: str
    state: str
    gpus: str
    memory: str
    limit: str
    restarts: int


class Run:
    """Snakemake on its way, its output in a file."""

    def __init__(self, folder: Path, output: Path, *arguments: str, environment: dict[str, str] | None = None) -> None:
        # What a shell starts in the background ignores SIGINT, and so would what it starts in turn.
        command = ["env", "--default-signal=INT", sys.executable, "-m", "snakemake"]
        command += ["-s", str(CHECKOUT / "Snakefile"), "--directory", str(folder)]
        command += ["--profile", str(CHECKOUT / "profiles/slurm"), "--configfile", str(folder / "study.yaml")]
        command += [
            "--slurm-init-seconds-before-status-checks",
            "5",
            "--cores",
            "2",
            "--latency-wait",
            "10",
            *arguments,
        ]
        self.output = output
        with output.open("wb") as stream:
            self.process = subprocess.Popen(
                command,
                stdout=stream,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                cwd=CHECKOUT,
                env=os.environ | {"COLUMNS": "200", **(environment or {})},
            )

    @property
    def text(self) -> str:
        """What it has said so far."""
        return self.output.read_text(errors="replace")

    def wait(self, timeout: float) -> int:
        """Its exit code; past the limit it is interrupted, which cancels its jobs, and the test fails."""
        try:
            return self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.interrupt()
            raise AssertionError(f"Snakemake still ran after {timeout} s:\n{self.text}") from None

    def until(self, what: Callable[[], T], timeout: float = 600) -> T:
        """The first true value of `what`, while it runs."""

        def ended_or_true() -> T:
            value = what()
            if not value and self.process.poll() is not None:
                raise AssertionError(f"Snakemake ended before that:\n{self.text}")
            return value

        return wait_for(ended_or_true, timeout)

    def interrupt(self) -> int:
        """End it as Ctrl-C does; its exit code."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
            try:
                return self.process.wait(200)
            except subprocess.TimeoutExpired:
                self.process.kill()
        return self.process.wait()


class Cluster:
    """The cluster whose state lies in a folder, between `start` and `stop`."""

    def __init__(self, state: Path, cpus: int = 4, memory_mb: int = 64000, gpus: int = 4) -> None:
        self.state = state
        settings = {"STATE": state, "CPUS": cpus, "MEM_MB": memory_mb, "GPUS": gpus}
        self.environment = os.environ | {f"CLUSTER_{key}": str(value) for key, value in settings.items()}

    def start(self) -> None:
        """Install what is missing and start the daemons."""
        self._script("start_cluster.sh")

    def stop(self) -> None:
        """Cancel all jobs and stop the daemons."""
        self._script("stop_cluster.sh")

    def _script(self, name: str) -> None:
        done = subprocess.run(
            [str(SCRIPTS / name)], env=self.environment, capture_output=True, text=True, stdin=subprocess.DEVNULL
        )
        if done.returncode:
            raise AssertionError(f"{name}:\n{done.stdout}\n{done.stderr}")

    def jobs(self, what: str = "") -> list[SlurmJob]:
        """All jobs since the start whose rule and wildcards begin with `what`, in order of submission."""
        fields = "JobID:20,Comment:200,State:20,tres-per-job:30,MinMemory:20,TimeLimit:20,RestartCnt:10"
        found = []
        for line in self.command("squeue", "-h", "-t", "all", "-S", "i", "-O", fields).splitlines():
            places = itertools.pairwise((0, 20, 220, 240, 270, 290, 310, 320))
            number, name, state, gpus, memory, limit, restarts = (line[start:end].strip() for start, end in places)
            if name.startswith(what):
                count = gpus.rpartition(":")[2] if "gpu" in gpus else "0"
                found.append(SlurmJob(number, name, state, count, memory, limit, int(restarts or 0)))
        return found

    def command(self, *words: str) -> str:
        """What one of SLURM's commands prints."""
        return subprocess.run(words, check=True, capture_output=True, text=True).stdout

    def restart_controller(self, seconds: float) -> None:
        """Stop the controller, leave it away for a while, and start it again on its saved state."""
        pidfile = self.state / "slurmctld.pid"
        process = int(pidfile.read_text())
        os.kill(process, signal.SIGTERM)
        wait_for(lambda: not _exe(process), 30)
        time.sleep(seconds)
        subprocess.run(["slurmctld", "-f", str(self.state / "slurm.conf")], check=True)
        wait_for(lambda: subprocess.run(["scontrol", "ping"], capture_output=True).returncode == 0, 30)


def _exe(process: int) -> str:
    try:
        return str(Path(f"/proc/{process}/exe").readlink())
    except OSError:
        return ""


def wait_for(what: Callable[[], T], timeout: float = 300, pause: float = 0.3) -> T:
    """The first true value of `what`; a test failure past the limit."""
    end = time.monotonic() + timeout
    while not (value := what()):
        if time.monotonic() > end:
            raise AssertionError(f"nothing came within {timeout} s")
        time.sleep(pause)
    return value
