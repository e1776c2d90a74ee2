"""Workers that are started before they are needed, so that an edit is in effect at once.

Whoever edits a project runs it again before long. So a place whose code was replaced gets a process
that has loaded all that a worker needs, and waits to be told which code it is for.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import TYPE_CHECKING

from runhouse.errors import WorkerStartError
from runhouse.server.launch import with_imports

if TYPE_CHECKING:
    from runhouse.server.envs import Binding
    from runhouse.server.launch import Launcher
    from runhouse.server.worker import Place, Worker
    from runhouse.wire.messages import Scope

# Until what was called has had the CPU for itself, and how long a spare is kept.
_DELAY_S = 0.5
_KEPT_S = 900.0


class Spares:
    """Keep at most one spare worker for each place."""

    def __init__(self, launcher: Launcher) -> None:
        """Store what starts processes."""
        self._launcher = launcher
        self._kept: dict[Place, Worker] = {}
        self._tasks: dict[Place, asyncio.Task[None]] = {}

    def take(self, place: Place, scope: Scope, binding: Binding | None) -> Worker | None:
        """Return the spare of a place, told which code it is for; None when none fits."""
        spare = self._kept.pop(place, None)
        if spare is None:
            return None
        same_env = spare.binding == (binding.digest if binding is not None else "")
        message = {"op": "scope", "scope": with_imports(scope, binding).to_meta()}
        if not same_env or spare.scope.python != scope.python or not spare.tell(message):
            spare.discard()
            return None
        spare.scope = scope
        spare.started_at = time.time()
        with contextlib.suppress(OSError):  # what others have written since is not its own
            spare.log_start = spare.log_path.stat().st_size
        return spare

    def prepare(self, place: Place, scope: Scope, binding: Binding | None) -> None:
        """Have a spare for a place before long, unless there is one."""
        if place not in self._tasks:
            task = asyncio.create_task(self._keep(place, scope, binding))
            self._tasks[place] = task
            task.add_done_callback(lambda _: self._tasks.pop(place, None))

    async def _keep(self, place: Place, scope: Scope, binding: Binding | None) -> None:
        """Start a spare, and end it when it is not taken for long."""
        await asyncio.sleep(_DELAY_S)
        with contextlib.suppress(WorkerStartError):  # whoever needs a worker is told
            spare = await self._launcher.start(place[0], scope, binding, spare=True)
            self.discard(place)
            self._kept[place] = spare
            asyncio.get_running_loop().call_later(_KEPT_S, self._expire, place, spare)

    def _expire(self, place: Place, spare: Worker) -> None:
        if self._kept.get(place) is spare:
            self.discard(place)

    def discard(self, place: Place) -> None:
        """End the spare of a place, if there is one."""
        spare = self._kept.pop(place, None)
        if spare is not None:
            spare.discard()

    def close(self) -> None:
        """End all spares."""
        for task in self._tasks.values():
            task.cancel()
        for place in list(self._kept):
            self.discard(place)
