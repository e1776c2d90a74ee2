"""Workers: have them started, hand connections to them, watch them, tell how they died."""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections import OrderedDict
from typing import TYPE_CHECKING, Any

from runhouse.errors import WorkerStartError
from runhouse.server import gpus
from runhouse.server.launch import Launcher, death_of
from runhouse.server.spares import Spares

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from runhouse.server.envs import Binding, Bindings
    from runhouse.server.worker import Place, Worker
    from runhouse.wire.messages import Death, Limits, Scope

log = logging.getLogger(__name__)

_DEATHS_KEPT = 200
_STOP_S = 3.0
ANSWER_S = 1.0


class Workers:
    """Hold all workers of the server.

    Attributes:
        listeners: What is called with a worker and what it tells, by the message's `op`.
        on_death: What is called with a worker that has ended, and how it did.
        on_activity: Called whenever something happens.
    """

    def __init__(self, launcher: Launcher, bindings: Bindings) -> None:
        """Store what starts processes, and what is known about envs."""
        self._launcher = launcher
        self._spares = Spares(launcher)
        self._bindings = bindings
        self._alive: dict[str, Worker] = {}
        self._current: dict[Place, Worker] = {}
        self._locks: dict[Place, asyncio.Lock] = {}
        self._turns = itertools.count()
        self._deaths: OrderedDict[str, Death] = OrderedDict()
        self._watchers: set[asyncio.Task[None]] = set()
        self._limits: dict[str, Limits] = {}
        self.listeners: dict[str, Callable[[Worker, dict[str, Any]], None]] = {
            "ready": self._on_ready,
            "state": self._on_state,
            "cancel_children": self._on_cancel_children,
        }
        self.on_death: list[Callable[[Worker, Death], None]] = []
        self.on_activity: Callable[[], None] = lambda: None

    def alive(self) -> list[Worker]:
        """Return the workers that run now."""
        return list(self._alive.values())

    def total(self, key: str) -> int:
        """Return the sum of one figure over all workers."""
        return sum(worker.state.get(key, 0) for worker in self._alive.values())

    def find(self, worker_id: str) -> Worker | None:
        """Return the running worker with an id, or None."""
        return self._alive.get(worker_id)

    def death(self, worker_id: str) -> Death | None:
        """Return how a worker ended, or None when that is not known."""
        return self._deaths.get(worker_id)

    async def obtain(self, env: str, scope: Scope, timeout_s: float) -> Worker:
        """Return the worker for an env and the code of a project, started if needed.

        A worker whose code is older than the scope's generation is replaced; it lives on until
        its calls have ended and its objects are gone. What needs no project's code takes any worker
        of the env.

        Raises:
            WorkerStartError: It did not come up; the message has its last lines.
        """
        binding = self._bindings.find(env)
        project = scope.project or self._some_project(env, scope.python)
        key = (env, project, self._slot(env, project))
        async with self._locks.setdefault(key, asyncio.Lock()):
            edited = False
            worker = self._current.get(key)
            if worker is not None and not worker.dead.is_set():
                same_code = scope.generation in ("", worker.scope.generation)
                same_python = scope.python in ("", worker.scope.python)
                same_env = worker.binding == (binding.digest if binding is not None else "")
                if same_code and same_python and same_env:
                    return worker
                self._retire(worker)
                edited = same_python and same_env
            worker = await self._start(key, scope, binding, timeout_s)
            worker.slot = key[2]
            self._current[key] = worker
            if edited and not worker.gpus:
                self._spares.prepare(key, scope, binding)
            return worker

    def sharing(self, env: str) -> int:
        """Return how many workers share the calls of an env."""
        binding = self._bindings.find(env)
        return binding.workers if binding is not None else 1

    def _some_project(self, env: str, python: str) -> str:
        """Return the project of the newest worker of an env, or nothing when there is none."""
        projects = [
            project
            for (name, project, _), worker in self._current.items()
            if name == env and python in ("", worker.scope.python) and not worker.dead.is_set()
        ]
        return projects[-1] if projects else ""

    def _slot(self, env: str, project: str) -> int:
        """Return which of the workers that share an env's calls is to take the next client."""
        count = self.sharing(env)
        if count == 1:
            return 0
        turn = next(self._turns)
        loads = []
        for slot in range(count):
            worker = self._current.get((env, project, slot))
            loads.append((worker.load if worker is not None else 0, (slot - turn) % count, slot))
        return min(loads)[2]

    def _retire(self, worker: Worker) -> None:
        """Let a worker end as soon as nobody needs it."""
        worker.retired = True
        self._end_if_unneeded(worker)

    def rebind(self, env: str) -> None:
        """Retire the workers of an env that is another one now; calls that come get new ones."""
        binding = self._bindings.find(env)
        digest = binding.digest if binding is not None else ""
        for worker in self.alive():
            if worker.env == env and worker.binding != digest:
                self._retire(worker)

    async def _gpus(self, env: str, binding: Binding | None) -> list[int]:
        if binding is None or not binding.gpus:
            return []
        taken = [worker.gpus for worker in self.alive()]
        return gpus.choose(binding.gpus, await gpus.count_gpus(), taken, env)

    async def _start(
        self, place: Place, scope: Scope, binding: Binding | None, timeout_s: float
    ) -> Worker:
        """Start a worker process, or take one that waits, until it is ready."""
        env = place[0]
        worker = self._spares.take(place, scope, binding)
        if worker is None:
            visible = await self._gpus(env, binding)
            worker = await self._launcher.start(env, scope, binding, visible)
        self._alive[worker.id] = worker
        asyncio.get_running_loop().add_reader(worker.control, self._read, worker)
        watcher = asyncio.create_task(self._watch(worker))
        self._watchers.add(watcher)
        watcher.add_done_callback(self._watchers.discard)
        await self._wait_until_ready(worker, timeout_s)
        if env in self._limits:
            worker.tell(_limits_message(self._limits[env]))
        log.info("worker %s started: pid %s, env %s, scope %s", worker.id, worker.pid, env, scope)
        return worker

    async def _wait_until_ready(self, worker: Worker, timeout_s: float) -> None:
        waits = [asyncio.create_task(event.wait()) for event in (worker.ready, worker.dead)]
        await asyncio.wait(waits, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
        for wait in waits:
            wait.cancel()
        if worker.ready.is_set() and not worker.dead.is_set():
            return
        if worker.dead.is_set():
            death = self._deaths[worker.id]
            reason = (
                f"It ended with {death.signal_name or death.exit_code}: {death.log_tail.strip()}"
            )
        else:
            worker.process.kill()
            reason = f"It was not ready within {timeout_s:g} s."
        msg = (
            f"A worker for env {worker.env!r} did not start. {reason} "
            f"Its log is {worker.log_path}; workers need Python 3.10 or newer."
        )
        raise WorkerStartError(msg, host="")

    # -- what workers tell --------------------------------------------------------------------

    def _read(self, worker: Worker) -> None:
        """Take what a worker has told."""
        for message in worker.messages():
            self.listeners[message["op"]](worker, message)

    def read_all(self) -> None:
        """Take what all workers have told until now, before something is looked up."""
        for worker in self.alive():
            self._read(worker)

    def _on_ready(self, worker: Worker, message: dict[str, Any]) -> None:
        worker.python = message["python"]
        worker.ready.set()

    def _on_state(self, worker: Worker, message: dict[str, Any]) -> None:
        worker.state = message["state"]
        self.on_activity()
        self._end_if_unneeded(worker)

    def _on_cancel_children(self, worker: Worker, message: dict[str, Any]) -> None:
        """Tell the other workers that a run was ended, which may have made calls in them."""
        asked = {"op": "ask", "id": -1, "what": "cancel_children", "parent": message["id"]}
        for other in self.alive():
            if other is not worker:
                other.tell(asked)

    # -- what workers are asked ---------------------------------------------------------------

    async def ask_all(self, what: str, **fields: object) -> list[tuple[Worker, Any]]:
        """Ask all workers for something; those that do not answer in a second are left out."""
        workers = self.alive()
        answers = await asyncio.gather(
            *(worker.ask(what, ANSWER_S, **fields) for worker in workers), return_exceptions=True
        )
        return [
            (worker, answer)
            for worker, answer in zip(workers, answers, strict=True)
            if not isinstance(answer, BaseException)
        ]

    async def refresh(self) -> None:
        """Ask all workers how much is going on; one that does not answer keeps its last figures."""
        for worker, state in await self.ask_all("state"):
            worker.state = state

    def set_limits(self, env: str, limits: Limits) -> None:
        """Bound what the workers of an env take, now and when they start."""
        self._limits[env] = limits
        for worker in self.alive():
            if worker.env == env:
                worker.tell(_limits_message(limits))

    def limits(self, env: str) -> Limits | None:
        """Return the limits of an env, or None when it has none."""
        return self._limits.get(env)

    def hand_over(self, worker: Worker, sock: socket.socket) -> bool:
        """Give a client's connection to a worker; return False when the worker is gone."""
        if not worker.tell({"op": "connection"}, sock):
            return False
        worker.state["connections"] = worker.state.get("connections", 0) + 1
        self.on_activity()
        return True

    # -- ending -------------------------------------------------------------------------------

    def _end_if_unneeded(self, worker: Worker) -> None:
        if worker.retired and worker.idle:
            worker.tell({"op": "stop"})

    async def _watch(self, worker: Worker) -> None:
        """Wait for the end of a worker, and note how it ended."""
        code = await worker.process.wait()
        self._read(worker)
        asyncio.get_running_loop().remove_reader(worker.control)
        worker.ended()
        death = self._deaths[worker.id] = death_of(worker, code)
        while len(self._deaths) > _DEATHS_KEPT:
            self._deaths.popitem(last=False)
        del self._alive[worker.id]
        place = (worker.env, worker.scope.project, worker.slot)
        if self._current.get(place) is worker:
            del self._current[place]
            self._spares.discard(place)
        for tell in self.on_death:
            tell(worker, death)
        worker.dead.set()
        how = death.signal_name or f"exit code {code}"
        log.info("worker %s ended: pid %s, %s", worker.id, worker.pid, how)
        self.on_activity()

    async def stop_all(self) -> None:
        """End all workers: ask, wait a little, then kill."""
        self._spares.close()
        workers = self.alive()
        for worker in workers:
            worker.tell({"op": "stop"})
        waits = [asyncio.create_task(worker.dead.wait()) for worker in workers]
        if waits:
            await asyncio.wait(waits, timeout=_STOP_S)
        for worker in self.alive():
            worker.kill()
        if waits:
            await asyncio.wait(waits, timeout=_STOP_S)


def _limits_message(limits: Limits) -> dict[str, Any]:
    return {"op": "ask", "id": -1, "what": "limits", "limits": limits.to_meta()}
