"""The runs of all workers: those that go on and those that were recorded; how they are ended."""

from __future__ import annotations

import asyncio
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


def matching(infos: Sequence[RunInfo], search: str, after: float) -> list[RunInfo]:
    """Return the runs that somebody looks for, in the same order.

    Args:
        infos: Runs.
        search: Words that all occur in what is told about a run; empty: all runs.
        after: A time, in seconds since the epoch: only runs that have begun or ended since, or go
            on.
    """
    words = search.casefold().split()
    return [
        info
        for info in infos
        if (info.status not in ENDED or max(info.created_at, info.ended_at) >= after)
        and all(word in _text(info) for word in words)
    ]


def _text(info: RunInfo) -> str:
    told = (info.id, info.name, info.call, info.status, info.env, info.caller, info.error)
    return "\n".join(told).casefold()


class Runs:
    """Know and end runs."""

    def __init__(self, journals: Journals, workers: Workers) -> None:
        """Store the parts, and listen to what workers tell."""
        self.journals = journals
        self._workers = workers
        self._claims: dict[str, tuple[str, str]] = {}  # by name: the run's id, and its worker's
        workers.listeners["run"] = self._on_run
        workers.listeners["claim"] = self._on_claim
        workers.listeners["unclaim"] = self._on_unclaim
        workers.on_death.append(self._on_death)

    def _on_run(self, _worker: Worker, message: dict[str, Any]) -> None:
        self.journals.note(message["run"])
        if message["run"]["status"] in ENDED:
            self._release(message["run"]["name"], message["run"]["id"])

    def _on_claim(self, worker: Worker, message: dict[str, Any]) -> None:
        """Decide in a moment, when what other workers have told of ended runs was read."""
        asyncio.get_running_loop().call_soon(self._decide, worker, message)

    def _decide(self, worker: Worker, message: dict[str, Any]) -> None:
        """Give a name to a run, unless another run that goes on has it."""
        self._workers.read_all()
        claim = message["id"], worker.id
        holder = self._claims.setdefault(message["name"], claim)
        answer = {"op": "noted", "number": message["number"], "taken": holder[0] != claim[0]}
        worker.tell(answer)

    def _on_unclaim(self, _worker: Worker, message: dict[str, Any]) -> None:
        self._release(message["name"], message["id"])

    def _release(self, name: str, run_id: str) -> None:
        if self._claims.get(name, ("",))[0] == run_id:
            del self._claims[name]

    def _on_death(self, worker: Worker, death: Death) -> None:
        how = death.signal_name or f"exit code {death.exit_code}"
        self.journals.lose(worker.id, f"Its worker (pid {death.pid}) ended with {how}.")
        self._claims = {n: claim for n, claim in self._claims.items() if claim[1] != worker.id}

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

    async def end_worker(self, worker: Worker) -> list[RunInfo]:
        """End a worker process at once; return its runs, whose callers are told of a cancel."""
        going = [
            info
            for info in await self.all()
            if info.worker_id == worker.id and info.status not in ENDED
        ]
        await self._cancel(going, force=True)
        worker.kill()  # also when nothing runs in it
        await worker.dead.wait()
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
