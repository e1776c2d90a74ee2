"""The object store as a whole: what is asked of a key is done by the worker that holds it."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any

from runhouse.server.worker import WorkerSilentError
from runhouse.server.workers import ANSWER_S

if TYPE_CHECKING:
    from collections.abc import Iterable

    from runhouse.server.index import Asleep, Index
    from runhouse.server.worker import Worker
    from runhouse.server.workers import Workers
    from runhouse.wire.messages import Death


_MOST_NAMED = 10


class WakeError(Exception):
    """Report an object on disk that could not be loaded."""


class Keys:
    """Do what concerns keys of several workers."""

    def __init__(self, index: Index, workers: Workers, start_timeout_s: float) -> None:
        """Store the parts, and listen to what workers tell."""
        self._index = index
        self._workers = workers
        self._start_timeout_s = start_timeout_s
        self._tasks: set[asyncio.Task[None]] = set()
        workers.listeners["keys"] = self._on_keys
        workers.listeners["defined"] = self._on_defined
        workers.on_death.append(self._on_death)

    def _on_keys(self, worker: Worker, message: dict[str, Any]) -> None:
        """Note what a worker holds; other workers let go of it before the worker goes on."""
        self._index.remove(worker.id, message["removed"])
        moved = self._index.add(worker.id, worker.env, message["added"])
        for key in message["added"]:
            if message["on_disk"]:
                self._index.note_persisted(key)
            else:
                self._index.forget_persisted(key)
        if moved:
            task = asyncio.create_task(self._move(worker, moved, message.get("number")))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        elif "number" in message:
            worker.tell({"op": "noted", "number": message["number"]})

    async def _move(self, worker: Worker, moved: dict[str, list[str]], number: int | None) -> None:
        for other_id, keys in moved.items():
            other = self._workers.find(other_id)
            if other is not None:
                with contextlib.suppress(WorkerSilentError):  # then it cannot be asked for them
                    await other.ask("delete", ANSWER_S, keys=keys)
        if number is not None:
            worker.tell({"op": "noted", "number": number})

    def _on_defined(self, worker: Worker, message: dict[str, Any]) -> None:
        before = self._index.define(worker.id, message["name"], message["key"])
        other = self._workers.find(before) if before is not None else None
        if other is not None:
            other.tell({"op": "ask", "id": -1, "what": "forget_name", "name": message["name"]})

    def _on_death(self, worker: Worker, _death: Death) -> None:
        self._index.drop_worker(worker.id)

    def listing(self, env: str | None) -> list[dict[str, str]]:
        """Return all objects, or those of an env."""
        self._workers.read_all()
        return [
            {"key": entry.key, "env": entry.env, "type": entry.type}
            for entry in self._index.entries(env)
        ]

    async def sizes(self) -> dict[str, int]:
        """Return how large objects are, in bytes, as far as their workers can tell in a second."""
        self._workers.read_all()
        sizes = self._index.sizes_on_disk()
        for _, told in await self._workers.ask_all("sizes"):
            sizes.update(told)
        return sizes

    def outdated_by(self, worker: Worker) -> list[str]:
        """Return objects, the first few, in workers whose code this one's has replaced."""
        older = {
            each.id
            for each in self._workers.alive()
            if each.retired and (each.env, each.scope.project) == (worker.env, worker.scope.project)
        }
        if worker.retired or not older:
            return []
        self._workers.read_all()
        entries = self._index.entries(worker.env)
        return [entry.key for entry in entries if entry.worker_id in older][:_MOST_NAMED]

    async def locate(self, key: str) -> Worker | None:
        """Return the worker that holds an object; one on disk is loaded first.

        Raises:
            WakeError: It is on disk, and could not be loaded.
            WorkerStartError: Its worker did not start.
        """
        self._workers.read_all()
        entry = self._index.find(key)
        if entry is not None:
            return self._workers.find(entry.worker_id)
        asleep = self._index.find_asleep(key)
        return await self._wake(asleep) if asleep is not None else None

    def locate_code(self, name: str) -> Worker | None:
        """Return the worker that has the function or class of a public name."""
        found = self._index.find_definition(name)
        return self._workers.find(found.worker_id) if found is not None else None

    async def _wake(self, asleep: Asleep) -> Worker:
        worker = await self._workers.obtain(asleep.env, asleep.scope, self._start_timeout_s)
        self._workers.read_all()
        if self._index.find(asleep.key) is not None:  # another request was quicker
            return worker
        try:
            problem = await worker.ask("wake", self._start_timeout_s, path=str(asleep.path))
        except WorkerSilentError as error:
            problem = str(error)
        if problem:
            msg = f"The object {asleep.key!r} is on disk but could not be loaded. {problem}"
            raise WakeError(msg)
        self._workers.read_all()
        return worker

    async def delete(self, keys: Iterable[str] | None) -> list[str]:
        """Delete objects, or all of them, in memory and on disk; return their keys."""
        self._workers.read_all()
        wanted = set(keys) if keys is not None else {e.key for e in self._index.entries()}
        gone = {key for key in wanted if self._index.forget_persisted(key)}
        holders: dict[str, list[str]] = {}
        for key in wanted:
            entry = self._index.find(key)
            if entry is not None:
                holders.setdefault(entry.worker_id, []).append(key)
        for worker_id, held in holders.items():
            worker = self._workers.find(worker_id)
            if worker is not None:
                gone.update(await worker.ask("delete", 10 * ANSWER_S, keys=held))
        return sorted(gone)

    async def rename(self, old: str, new: str) -> bool:
        """Move an object to another key, where it is; return whether there was one."""
        self._workers.read_all()
        entry = self._index.find(old)
        on_disk = self._index.rename_persisted(old, new)
        if entry is None:
            return on_disk
        worker = self._workers.find(entry.worker_id)
        if worker is None:
            return on_disk
        renamed = bool(await worker.ask("rename", ANSWER_S, old=old, new=new))
        if renamed and not on_disk:
            self._index.forget_persisted(new)  # the object that was replaced
        return renamed or on_disk
