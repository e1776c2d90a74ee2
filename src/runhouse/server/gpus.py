"""Which GPUs of this node each worker sees."""

from __future__ import annotations

import asyncio
import shutil
from typing import TYPE_CHECKING

from runhouse.errors import WorkerStartError

if TYPE_CHECKING:
    from collections.abc import Sequence

VISIBLE = "CUDA_VISIBLE_DEVICES"
_TIMEOUT_S = 10.0


async def count_gpus() -> int:
    """Return how many GPUs nvidia-smi lists; 0 where there is none."""
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return 0
    process = await asyncio.create_subprocess_exec(
        *(tool, "--list-gpus"), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL
    )
    try:
        output, _ = await asyncio.wait_for(process.communicate(), _TIMEOUT_S)
    except asyncio.TimeoutError:
        process.kill()
        return 0
    lines = output.decode("utf-8", "replace").splitlines()
    return sum(line.startswith("GPU ") for line in lines) if process.returncode == 0 else 0


def choose(wanted: int, total: int, taken: Sequence[Sequence[int]], env: str) -> list[int]:
    """Return the GPUs for a worker: those that the fewest others see.

    An old worker may live on beside the one that replaces it, so they are shared when they must be.

    Args:
        wanted: How many.
        total: How many the node has.
        taken: The GPUs of each other worker.
        env: Name of the worker's env.

    Raises:
        WorkerStartError: The node has not so many.
    """
    if wanted > total:
        msg = (
            f"A worker for env {env!r} did not start. It is to have {wanted} GPUs, and the host "
            f"has {total}. Ask for fewer with compute={{'gpus': N}}, or use another host."
        )
        raise WorkerStartError(msg, host="")
    users = [sum(index in each for each in taken) for index in range(total)]
    return sorted(sorted(range(total), key=lambda index: users[index])[:wanted])
