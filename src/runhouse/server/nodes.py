"""What a node is and how busy it is, read from /proc and nvidia-smi."""

from __future__ import annotations

import os
import platform
import shutil
import socket
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from runhouse.lazy import LazyModule

if TYPE_CHECKING:
    import asyncio
else:
    asyncio = LazyModule("asyncio")

_KIB = 1024
_GPU_QUERY = "name,memory.total,memory.used,utilization.gpu"
_GPU_TIMEOUT_S = 5.0


@dataclass(frozen=True, slots=True)
class GpuStatus:
    """Hold one GPU: its name, memory in bytes, and how busy it is in percent."""

    name: str
    memory_total_bytes: int
    memory_used_bytes: int
    utilization_percent: float


@dataclass(frozen=True, slots=True)
class NodeStatus:
    """Hold one node: its platform, load and memory (bytes)."""

    hostname: str
    platform: str
    cpus: int
    load_1m: float
    memory_total_bytes: int
    memory_available_bytes: int
    gpus: tuple[GpuStatus, ...] = ()

    def to_json(self) -> dict[str, object]:
        """Return the node as a JSON object."""
        return asdict(self)


def memory() -> tuple[int, int]:
    """Return total and available memory in bytes; zeros where /proc does not tell."""
    values: dict[str, int] = {}
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    except OSError:
        return 0, 0
    for line in lines:
        name, _, rest = line.partition(":")
        values[name] = int(rest.split()[0]) * _KIB
    return values.get("MemTotal", 0), values.get("MemAvailable", 0)


def cpu_seconds() -> tuple[float, float]:
    """Return for how long the CPUs of this node were busy since its start, and all in all.

    Both in seconds, summed over the CPUs; zeros where /proc does not tell (proc(5), stat).
    """
    try:
        with open("/proc/stat", encoding="ascii") as file:
            ticks = [int(word) for word in file.readline().split()[1:9]]
    except OSError:
        return 0.0, 0.0
    idle = sum(ticks[3:5])  # idle, and waiting for a disk
    per_second = os.sysconf("SC_CLK_TCK")
    return (sum(ticks) - idle) / per_second, sum(ticks) / per_second


def resident_bytes(pid: int) -> int:
    """Return how much memory a process uses alone or shares (PSS), in bytes; 0 when unknown."""
    try:
        text = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii")
    except OSError:
        return 0
    for line in text.splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) * _KIB
    return 0


def parse_gpus(text: str) -> tuple[GpuStatus, ...]:
    """Read what `nvidia-smi --query-gpu … --format=csv,noheader,nounits` prints (MiB, percent)."""
    gpus = []
    for line in text.splitlines():
        name, *figures = (part.strip() for part in line.split(","))
        total, used, busy = (
            float(figure) if figure.replace(".", "").isdigit() else 0.0 for figure in figures
        )
        gpus.append(GpuStatus(name, int(total * _KIB * _KIB), int(used * _KIB * _KIB), busy))
    return tuple(gpus)


async def gpus() -> tuple[GpuStatus, ...]:
    """Return the GPUs of this node; none where there is no `nvidia-smi`, or it does not answer."""
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return ()
    process = await asyncio.create_subprocess_exec(
        *(tool, f"--query-gpu={_GPU_QUERY}", "--format=csv,noheader,nounits"),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        output, _ = await asyncio.wait_for(process.communicate(), _GPU_TIMEOUT_S)
    except asyncio.TimeoutError:
        process.kill()
        return ()
    return parse_gpus(output.decode()) if process.returncode == 0 else ()


async def this_node() -> NodeStatus:
    """Return the state of the node on which this runs."""
    total, available = memory()
    return NodeStatus(
        hostname=socket.gethostname(),
        platform=" ".join([platform.system(), platform.machine(), *platform.libc_ver()]).strip(),
        cpus=len(os.sched_getaffinity(0)),
        load_1m=os.getloadavg()[0],
        memory_total_bytes=total,
        memory_available_bytes=available,
        gpus=await gpus(),
    )
