"""The runs of all workers: those that go on and those that were recorded; how they are ended."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from runhouse.wire.messages import RunInfo
from runhouse.wire.stored import ENDED

if TYPE_CHECKING:
    from collections.abc import Sequence

    from runhouse.server.journals import Journals
    from runhouse.server.worker import Worker
    from runhouse.server.workers import Workers
    from runhouse.wire.messages import Death

_BY_REQUEST = "It was cancelled by request."


class Runs:
    """Know and end runs."""

    def __init__(self, journals: Journals, workers: Workers) -> None:
        """Store the parts, and listen to what workers tell."""
        self.journals = journals
        self._workers = workers
        workers.listeners["run"] = lambda _worker, message: journals.note(message["run"])
        workers.on_death.append(self._on_death)

    def _on_death(self, worker: Worker, death: Death) -> None:
        how = death.signal_name or f"exit code {death.exit_code}"
        self.journals.lose(worker.id, f"Its worker (pid {death.pid}) ended with {how}.")

    async def all(self) -> list[RunInfo]:
        """Return the recorded runs and all that go on, the newest first."""
        self._workers.read_all()
        answers = await self._workers.ask_all("runs")
        live = [RunInfo(**run) for _, runs in answers for run in runs]
        plain = [run for run in live if not run.recorded]
        found = [*self.journals.all(), *plain]
        return sorted(found, key=lambda info: info.created_at, reverse=True)

    async def find(self, key: str) -> RunInfo | None:
        """Return the run with an id, or the newest one with a name, or None."""
        self._workers.read_all()
        recorded = self.journals.find(key)
        if recorded is not None:
            return recorded
        return next((info for info in await self.all() if info.id == key), None)

    async def cancel(self, key: str, *, force: bool) -> RunInfo | None:
        """Cancel a run; return what it was, or None when there is none.

        Args:
            key: Its id or name.
            force: End the worker process too, with all that it holds, so that nothing of the run
                goes on.
        """
        info = await self.find(key)
        if info is not None and info.status not in ENDED:
            await self._cancel([info], force=force)
        return info

    async def cancel_all(self, *, force: bool) -> list[RunInfo]:
        """Cancel all runs that go on; return them."""
        going = [info for info in await self.all() if info.status not in ENDED]
        await self._cancel(going, force=force)
        return going

    async def _cancel(self, infos: Sequence[RunInfo], *, force: bool) -> None:
        ids = [info.id for info in infos]
        asked: dict[str, Any] = {"ids": ids, "reason": _BY_REQUEST}
        await self._workers.ask_all("cancel", **asked)
        if not force:
            return
        for worker_id in {info.worker_id for info in infos}:
            worker = self._workers.find(worker_id)
            if worker is not None:
                worker.cancelled += ids
                worker.kill()
                await worker.dead.wait()
