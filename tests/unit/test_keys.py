"""What is asked of a key is done where the key is: in a worker, on disk, or in both."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest

from runhouse.server.envs import Bindings
from runhouse.server.index import Index
from runhouse.server.journals import Journals
from runhouse.server.keys import Keys, WakeError
from runhouse.server.launch import Launcher
from runhouse.server.paths import ServerPaths
from runhouse.server.runs import Runs
from runhouse.server.worker import Worker, WorkerSilentError
from runhouse.server.workers import Workers
from runhouse.wire import control, stored
from runhouse.wire.messages import Death, RunInfo, Scope
from runhouse.wire.pickling import dumps
from runhouse.worker import persist
from runhouse.worker.store import Objects
from tests.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

DEATH = Death(7, None, "SIGKILL", "")


class Peer:
    """Be the other end of a worker's control socket: a thread that holds objects."""

    def __init__(self, server: Server, name: str, env: str) -> None:
        """Join a server's workers."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours.setblocking(False)
        self._server = theirs
        self.objects = Objects(self._tell_keys)
        self.asked: list[dict[str, Any]] = []
        self.silent = False
        self.live: list[RunInfo] = []
        process = cast("asyncio.subprocess.Process", SimpleNamespace(pid=7))
        self.worker = Worker(name, env, Scope(), process, ours, (-1, -1), server.root, 0.0)
        server.workers._alive[name] = self.worker
        server.workers._current[env, "", 0] = self.worker
        asyncio.get_running_loop().add_reader(ours, server.workers._read, self.worker)
        self.worker.ready.set()
        self.thread = threading.Thread(target=self._answer)
        self.thread.start()

    def _tell_keys(self, added: dict[str, str], removed: list[str], on_disk: bool) -> None:
        message = {"op": "keys", "added": added, "removed": removed, "on_disk": on_disk}
        control.send(self._server, message)

    def _answer(self) -> None:
        with self._server:
            while (received := control.receive(self._server)) is not None:
                asked = received[0]
                self.asked.append(asked)
                if asked["op"] == "ask" and not self.silent:
                    answer = getattr(self, f"_{asked['what']}")(asked)
                    message = {"op": "answer", "id": asked["id"], "answer": answer}
                    control.send(self._server, message)

    def _delete(self, asked: dict[str, Any]) -> object:
        return self.objects.delete(asked["keys"])

    def _rename(self, asked: dict[str, Any]) -> object:
        return self.objects.rename(asked["old"], asked["new"])

    def _wake(self, asked: dict[str, Any]) -> object:
        path = Path(asked["path"])
        try:
            self.objects.put(stored.object_key(path), persist.load(path), on_disk=True)
        except Exception as error:  # noqa: BLE001 - as a worker does
            return f"{type(error).__name__}: {error}"
        return ""

    def _runs(self, asked: dict[str, Any]) -> object:
        del asked
        return [info.to_meta() for info in self.live]

    def _cancel(self, asked: dict[str, Any]) -> object:
        return [info.id for info in self.live if info.id in asked["ids"]]

    def leave(self) -> None:
        """End."""
        asyncio.get_running_loop().remove_reader(self.worker.control)
        self.worker.ended()
        self.thread.join(timeout=10)


class Server:
    """Hold the parts of a server that know keys and runs."""

    def __init__(self, root: Path) -> None:
        """Start without workers."""
        self.root = root
        self.objects = root / "objects"
        self.workers = Workers(Launcher(ServerPaths(root), "/no/python", {}), Bindings(root))
        self.index = Index(self.objects)
        self.keys = Keys(self.index, self.workers, 5.0)
        self.runs = Runs(Journals(root / "runs", 60, lambda worker_id: True), self.workers)
        self.peers: list[Peer] = []

    def join(self, name: str, env: str = "env") -> Peer:
        """Let a worker join."""
        self.peers.append(Peer(self, name, env))
        return self.peers[-1]

    def save(self, key: str, value: object, env: str = "env") -> Path:
        """Keep an object on disk."""
        path = stored.object_path(self.objects, key)
        meta: dict[str, object] = {"env": env, "scope": json.dumps({})}
        persist.save(path, meta, dumps(value))
        return path


async def until(condition: Callable[[], object]) -> None:
    """Return when a condition holds; the server goes on meanwhile."""
    await asyncio.to_thread(wait_until, condition)


def serve(root: Path, act: Callable[[Server], Awaitable[None]]) -> None:
    """Let a server act."""

    async def run() -> None:
        server = Server(root)
        try:
            await asyncio.wait_for(act(server), 20)
        finally:
            for peer in server.peers:
                peer.leave()

    asyncio.run(run())


def test_a_key_is_located_as_soon_as_it_was_put(tmp_path: Path) -> None:
    async def act(server: Server) -> None:
        one, two = server.join("one"), server.join("two", "other")
        assert await server.keys.locate("key") is None
        one.objects.put("key", 1)
        assert await server.keys.locate("key") is one.worker
        two.objects.put("key", 2)
        assert await server.keys.locate("key") is two.worker
        assert server.keys.listing(None) == [{"key": "key", "env": "other", "type": "builtins:int"}]
        assert server.keys.listing("env") == []
        await until(lambda: one.objects.find("key") is None)

    serve(tmp_path, act)


def test_a_worker_is_told_when_nobody_else_holds_its_key(tmp_path: Path) -> None:
    async def act(server: Server) -> None:
        one, two = server.join("one"), server.join("two")
        one.objects.put("key", 1)
        server.workers.read_all()
        message = {"added": {"key": "t"}, "removed": [], "on_disk": False, "number": 5}
        server.workers.listeners["keys"](two.worker, message)
        assert two.asked == []
        await until(lambda: two.asked)
        assert two.asked == [{"op": "noted", "number": 5}]
        assert one.objects.find("key") is None
        server.workers.listeners["keys"](two.worker, {**message, "number": 6})
        await until(lambda: len(two.asked) == 2)
        assert two.asked[1] == {"op": "noted", "number": 6}

    serve(tmp_path, act)


def test_an_object_on_disk_is_loaded_once_when_it_is_asked_for(tmp_path: Path) -> None:
    async def act(server: Server) -> None:
        path = server.save("key", [1, 2])
        peer = server.join("one")
        found = await asyncio.gather(*(server.keys.locate("key") for _ in range(3)))
        assert all(worker is peer.worker for worker in found)
        assert peer.objects.get("key") == [1, 2]
        assert path.exists()
        assert (await server.keys.locate("key")) is peer.worker

    serve(tmp_path, act)


@pytest.mark.parametrize("silent", [False, True])
def test_an_object_that_cannot_be_loaded_is_told_and_kept(tmp_path: Path, silent: bool) -> None:
    async def act(server: Server) -> None:
        path = stored.object_path(server.objects, "key")
        persist.save(path, {"env": "env", "scope": "{}"}, dumps(1))
        path.write_bytes(
            path.read_bytes().replace(dumps(1).body, b"no!no!no!"[: len(dumps(1).body)])
        )
        peer = server.join("one")
        peer.silent = silent
        server.keys._start_timeout_s = 0.1 if silent else 5.0
        with pytest.raises(WakeError, match="'key' is on disk but could not be loaded"):
            await server.keys.locate("key")
        assert path.exists()

    serve(tmp_path, act)


def test_keys_are_deleted_wherever_they_are(tmp_path: Path) -> None:
    async def act(server: Server) -> None:
        one, two = server.join("one"), server.join("two", "other")
        for peer, keys in ((one, "ab"), (two, "cd")):
            for key in keys:
                peer.objects.put(key, key)
        server.workers.read_all()
        server.save("a", "on disk, too")
        server.save("e", "on disk only")
        for key in "ae":
            server.index.note_persisted(key)
        assert await server.keys.delete(["a", "c", "e", "none"]) == ["a", "c", "e"]
        assert [entry["key"] for entry in server.keys.listing(None)] == ["b", "d"]
        assert list(server.objects.iterdir()) == []
        assert await server.keys.delete(None) == ["b", "d"]
        assert await server.keys.delete(None) == []
        assert len(one.objects) == len(two.objects) == 0

    serve(tmp_path, act)


def test_a_worker_that_has_ended_while_it_was_asked_is_told(tmp_path: Path) -> None:
    async def act(server: Server) -> None:
        peer = server.join("one")
        peer.objects.put("key", 1)
        server.workers.read_all()
        peer.silent = True
        asked = asyncio.create_task(server.keys.delete(["key"]))
        await until(lambda: peer.asked)
        peer.worker.ended()
        with pytest.raises(WorkerSilentError):
            await asked

    serve(tmp_path, act)


def test_an_object_is_renamed_in_memory_and_on_disk(tmp_path: Path) -> None:
    async def act(server: Server) -> None:
        peer = server.join("one")
        assert not await server.keys.rename("none", "new")
        server.save("asleep", "disk")
        server.index.note_persisted("asleep")
        assert await server.keys.rename("asleep", "asleep2")
        server.save("both", "disk")
        peer.objects.put("both", "memory", on_disk=True)
        assert await server.keys.rename("both", "both2")
        server.workers.read_all()
        assert [entry["key"] for entry in server.keys.listing(None)] == ["asleep2", "both2"]
        assert peer.objects.get("both2") == "memory"
        names = {path.name for path in server.objects.iterdir()}
        assert names == {"asleep2.object", "both2.object"}

    serve(tmp_path, act)


def test_an_object_that_takes_a_key_replaces_what_is_on_disk_there(tmp_path: Path) -> None:
    """Otherwise the one that was replaced would come back after a restart."""

    async def act(server: Server) -> None:
        peer = server.join("one")
        peer.objects.put("memory", "new")
        server.workers.read_all()
        for key in ("key", "other"):
            server.save(key, "old")
            server.index.note_persisted(key)
        assert await server.keys.rename("memory", "key")
        peer.objects.put("other", "new")
        server.workers.read_all()
        server.workers.on_death[0](peer.worker, DEATH)
        assert server.keys.listing(None) == []
        assert list(server.objects.iterdir()) == []

    serve(tmp_path, act)


def told(run_id: str, name: str = "", **fields: Any) -> RunInfo:
    """Return what a worker tells about a run."""
    return RunInfo(
        **{
            "id": run_id,
            "name": name,
            "call": "f",
            "status": "running",
            "env": "env",
            "worker_id": "one",
            "recorded": False,
            "created_at": 1.0,
            **fields,
        }
    )


def test_recorded_runs_and_those_that_go_on_are_listed_and_found(tmp_path: Path) -> None:
    async def act(server: Server) -> None:
        peer = server.join("one")
        recorded = told("b", "nightly", recorded=True, created_at=2.0)
        peer.live = [told("a"), recorded, told("c", created_at=3.0)]
        server.workers.listeners["run"](peer.worker, {"run": recorded.to_meta()})
        assert [info.id for info in await server.runs.all()] == ["c", "b", "a"]
        assert await server.runs.find("nightly") == recorded
        assert await server.runs.find("a") == told("a")
        assert await server.runs.find("none") is None

    serve(tmp_path, act)


def test_runs_are_cancelled_where_they_are_and_ended_ones_left_alone(tmp_path: Path) -> None:
    async def act(server: Server) -> None:
        peer = server.join("one")
        done = told("b", recorded=True, status="done", ended_at=9e9)
        peer.live = [told("a")]
        server.workers.listeners["run"](peer.worker, {"run": done.to_meta()})
        for key, known in (("a", told("a")), ("b", done), ("none", None)):
            assert await server.runs.cancel(key, force=False) == known
        cancelled = [asked["ids"] for asked in peer.asked if asked.get("what") == "cancel"]
        assert cancelled == [["a"]]
        assert await server.runs.cancel_all(force=False) == [told("a")]

    serve(tmp_path, act)


def test_the_runs_of_a_worker_that_died_are_lost_and_say_why(tmp_path: Path) -> None:
    async def act(server: Server) -> None:
        peer = server.join("one")
        server.workers.listeners["run"](peer.worker, {"run": told("a", recorded=True).to_meta()})
        for tell in server.workers.on_death:
            tell(peer.worker, DEATH)
        (info,) = [info for info in await server.runs.all() if info.recorded]
        assert info.status == "lost"
        assert "Its worker (pid 7) ended with SIGKILL." in info.error

    serve(tmp_path, act)


def test_a_name_is_one_run_at_a_time_in_all_workers(tmp_path: Path) -> None:
    async def act(server: Server) -> None:
        first, second = server.join("first"), server.join("second", "other")
        numbers = iter(range(100))

        async def is_taken(peer: Peer, run_id: str) -> bool:
            number = next(numbers)
            message = {"op": "claim", "name": "nightly", "id": run_id, "number": number}
            control.send(peer._server, message)
            await until(lambda: any(asked.get("number") == number for asked in peer.asked))
            return bool(next(a for a in peer.asked if a.get("number") == number)["taken"])

        assert not await is_taken(first, "one")
        assert not await is_taken(first, "one"), "a call that is sent again is no other run"
        assert await is_taken(second, "two")
        ended = RunInfo("one", "nightly", "f", "done", "env", "first", True, 1.0)
        control.send(first._server, {"op": "run", "run": ended.to_meta()})
        assert not await is_taken(second, "two"), "what the other worker has told is known"
        control.send(second._server, {"op": "unclaim", "name": "nightly", "id": "one"})
        assert await is_taken(first, "three"), "only its own run gives a name back"
        control.send(second._server, {"op": "unclaim", "name": "nightly", "id": "two"})
        assert not await is_taken(first, "three")
        server.runs._on_death(first.worker, DEATH)
        assert not await is_taken(second, "four")

    serve(tmp_path, act)
