"""Autostop by real activity: is the host in use, and does whoever would stop it know that?

The machine is stopped by something outside of this server, which has an idle timer of its own. A
*pulse* is a command that sets this timer back. While the host is in use it is run now and then, and
once more after the end. When the server dies there are no pulses, and the machine goes down: a
mistake costs a run, not money without end.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import math
import os
import signal
import time
from asyncio.subprocess import DEVNULL
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from runhouse.files import write_private
from runhouse.server.processes import WorkerTrees

if TYPE_CHECKING:
    from asyncio.subprocess import Process
    from collections.abc import Sequence
    from pathlib import Path

    from runhouse.server.journals import Journals
    from runhouse.server.workers import Workers

log = logging.getLogger(__name__)

NEVER = -1
LONGEST_MINS = 1_000_000
STOPS = ("down", "stop")

# In minutes, so that tests can shorten all of them at once.
_LOOK_MINS = 1 / 60
_READ_PROCESSES_MINS = 1 / 12
_SHORTEST_INTERVAL_MINS = 1 / 12
_LONGEST_INTERVAL_MINS = 5
_PULSE_TIMEOUT_MINS = 1

_NICE = 10
_KILL_S = 1.0
_PIPE_BYTES = 64 * 1024
_END_BYTES = 4096
_LONGEST_LINE = 200


@dataclass(frozen=True, slots=True)
class Setting:
    """Hold what a server is told about the autostop of its host.

    Attributes:
        autostop_mins: Idle minutes after which the host is stopped; -1: never.
        pulse: Program and arguments that tell whoever stops it that it is in use; empty: none.
        stops: What is then done to it, one of `STOPS`.
    """

    autostop_mins: int
    pulse: tuple[str, ...] = ()
    stops: str = "down"


class Autostop:
    """Decide for how long the host has been idle, and when a pulse is due; do nothing else.

    Times are seconds of one clock, which the caller reads. A new setting counts as use: the first
    pulse comes at once and shows whether it can be run, and both timers begin together.
    """

    def __init__(self, setting: Setting, now: float, minute_s: float = 60.0) -> None:
        """Begin with a setting.

        Args:
            setting: What to go by.
            now: The time.
            minute_s: How long a minute is.
        """
        self.setting = setting
        self.pulse_error = ""
        self._minute_s = minute_s
        self._why = ""
        self._active_at = now
        self._pulsing = False
        self._begun_at = -math.inf
        self._pulsed_at: float | None = None

    @property
    def interval_s(self) -> float:
        """Return the time from one pulse to the next while the host is in use."""
        mins = max(_SHORTEST_INTERVAL_MINS, self.setting.autostop_mins / 4)
        return min(mins, _LONGEST_INTERVAL_MINS) * self._minute_s

    def look(self, why: str, now: float, *, was_used: bool = False) -> None:
        """Take what is going on.

        Args:
            why: What the host is in use for; empty: it is not.
            now: The time.
            was_used: Whether it was in use since the last look.
        """
        self._why = why
        if why or was_used:
            self._active_at = now

    def is_due(self, now: float) -> bool:
        """Tell whether a pulse is to be run now.

        After the end of use, one more makes the other timer begin there. It waits a little when
        there was one just before, or else short calls with pauses between would each get their own.
        """
        if self._pulsing or not self.setting.pulse or self.setting.autostop_mins == NEVER:
            return False
        if self._why:
            return now - self._begun_at >= self.interval_s
        pause = max(self.interval_s / 4, _SHORTEST_INTERVAL_MINS * self._minute_s)
        return self._begun_at < self._active_at and now - self._begun_at >= pause

    def begin_pulse(self, now: float) -> None:
        """Note that a pulse begins; none is due before it has ended."""
        self._pulsing = True
        self._begun_at = now

    def end_pulse(self, error: str, at: float) -> None:
        """Note how a pulse has ended.

        Args:
            error: Why it failed, or empty.
            at: When, in seconds since the epoch.
        """
        self._pulsing = False
        self.pulse_error = error
        if not error:
            self._pulsed_at = at

    def to_json(self, now: float) -> dict[str, object]:
        """Return how it stands, as a JSON object."""
        idle_s = 0.0 if self._why else now - self._active_at
        allowed_s = self.setting.autostop_mins * self._minute_s
        never = self.setting.autostop_mins == NEVER
        return {
            "autostop_mins": self.setting.autostop_mins,
            "stops": self.setting.stops,
            "in_use": bool(self._why),
            "why": self._why,
            "idle_s": idle_s,
            "left_s": None if never else max(0.0, allowed_s - idle_s),
            "pulsed_at": self._pulsed_at,
            "pulse_error": self.pulse_error,
        }


class Keeper:
    """Look at what the workers do, and run the pulses."""

    def __init__(self, path: Path, workers: Workers, journals: Journals, minute_s: float) -> None:
        """Take up the setting that an earlier server was given.

        Args:
            path: The file of the setting.
            workers: The workers whose calls and processes count as use.
            journals: The recorded runs, for their names.
            minute_s: How long a minute is.
        """
        self._path = path
        self._workers = workers
        self._journals = journals
        self._minute_s = minute_s
        self._trees = WorkerTrees()
        self._read_at = -math.inf
        self._busy: list[int] = []
        self._calls: dict[str, int] = {}
        self._pulse: asyncio.Task[None] | None = None
        self._is_set = asyncio.Event()
        self._autostop: Autostop | None = None
        setting = _read(path)
        if setting is not None:
            self._follow(setting)

    def set(self, setting: Setting) -> None:
        """Go by a setting from now on, also after a restart.

        Raises:
            OSError: It cannot be written to the disk; nothing has changed.
        """
        write_private(self._path, f"{json.dumps(asdict(setting))}\n".encode())
        self._follow(setting)

    def _follow(self, setting: Setting) -> None:
        self._end_pulse()
        self._autostop = Autostop(setting, time.monotonic(), self._minute_s)
        self._is_set.set()

    def _end_pulse(self) -> None:
        if self._pulse is not None:
            self._pulse.cancel()

    def to_json(self) -> dict[str, object] | None:
        """Return how it stands now, as a JSON object; None when there is no setting."""
        if self._autostop is None:
            return None
        self._look(self._autostop)
        return self._autostop.to_json(time.monotonic())

    async def run(self) -> None:
        """Keep the host up while it is in use; until cancelled."""
        try:
            await self._is_set.wait()
            while True:
                try:
                    await self._step()
                except Exception:
                    log.exception("whether the host is in use cannot be told now")
                await asyncio.sleep(_LOOK_MINS * self._minute_s)
        finally:
            self._end_pulse()

    async def _step(self) -> None:
        now = time.monotonic()
        if now - self._read_at >= _READ_PROCESSES_MINS * self._minute_s:
            self._read_at = now
            pids = {worker.pid for worker in self._workers.alive()} | self._notebooks()
            self._busy = await asyncio.to_thread(self._trees.look, pids, now)
        autostop = self._autostop
        if autostop is None:
            return
        self._look(autostop)
        if autostop.is_due(now):
            autostop.begin_pulse(now)
            self._pulse = asyncio.create_task(self._beat(autostop))

    def _look(self, autostop: Autostop) -> None:
        """Tell what the workers do; a call that has come and gone shows in their counts."""
        calls = {worker.id: worker.state.get("calls", 0) for worker in self._workers.alive()}
        was_used = any(count > self._calls.get(id_, 0) for id_, count in calls.items())
        self._calls = calls
        autostop.look(self._why(), time.monotonic(), was_used=was_used)

    def _notebooks(self) -> frozenset[int]:
        """Return the processes of notebooks, whose kernels are below them."""
        found = []
        for record in self._path.parent.glob("notebooks/*/record.json"):
            with contextlib.suppress(OSError, ValueError, KeyError):
                found.append(int(json.loads(record.read_bytes())["pid"]))
        return frozenset(found)

    def _why(self) -> str:
        """Return what the host is in use for; connections alone are no use."""
        named = next((info.name for info in self._journals.going() if info.name), None)
        if named is not None:
            return f"run {named!r} is going on"
        running = self._workers.total("running")
        if running:
            return f"{running} call{'s' if running > 1 else ''} running"
        if not self._busy:
            return ""
        workers = {worker.pid for worker in self._workers.alive()}
        return f"{'worker' if self._busy[0] in workers else 'notebook'} {self._busy[0]} computes"

    async def _beat(self, autostop: Autostop) -> None:
        error = await run_pulse(autostop.setting.pulse, _PULSE_TIMEOUT_MINS * self._minute_s)
        if error and error != autostop.pulse_error:
            log.warning("the pulse that keeps the host up fails: %s", error)
        autostop.end_pulse(error, time.time())


async def run_pulse(command: Sequence[str], timeout_s: float) -> str:
    """Run a command at low priority, and kill its process group when it takes too long.

    Returns:
        Why it failed, with the last line of what it said; empty when it did not.
    """
    try:
        with contextlib.closing(_Ear()) as ear:
            process = await asyncio.create_subprocess_exec(
                *command, stdin=DEVNULL, stdout=DEVNULL, stderr=ear.pipe, start_new_session=True
            )
            return await _failure(process, ear, timeout_s)
    except (OSError, ValueError, RuntimeError) as error:  # the last: there is no thread to wait in
        return f"cannot be run: {getattr(error, 'strerror', None) or error}"


async def _failure(process: Process, ear: _Ear, timeout_s: float) -> str:
    """Wait for the end of a pulse; return why it failed, or nothing."""
    try:
        with contextlib.suppress(OSError):
            os.setpriority(os.PRIO_PGRP, process.pid, _NICE)
        code = await asyncio.wait_for(process.wait(), timeout_s)
    except asyncio.TimeoutError:
        return f"killed after {timeout_s:g} s"
    finally:
        await _kill(process)
    if code == 0:
        return ""
    how = f"signal {-code}" if code < 0 else f"exit code {code}"
    last = ear.last_line()
    return f"{how}: {last}" if last else how


class _Ear:
    """Hear what a process says and keep the end of it: neither much of it nor a full disk harms.

    Attributes:
        pipe: Where the process is to write.
    """

    def __init__(self) -> None:
        """Make the pipe, and read what comes."""
        self._ours, self.pipe = os.pipe()
        os.set_blocking(self._ours, False)
        self._end = b""
        asyncio.get_running_loop().add_reader(self._ours, self._read)

    def _read(self) -> None:
        with contextlib.suppress(BlockingIOError):
            self._end = (self._end + os.read(self._ours, _PIPE_BYTES))[-_END_BYTES:]

    def last_line(self) -> str:
        """Return the last line that is not empty, or nothing."""
        self._read()
        lines = self._end.decode("utf-8", "replace").strip().splitlines() or [""]
        return lines[-1].strip()[:_LONGEST_LINE]

    def close(self) -> None:
        """Let go of the pipe."""
        asyncio.get_running_loop().remove_reader(self._ours)
        os.close(self._ours)
        os.close(self.pipe)


async def _kill(process: Process) -> None:
    """Kill a process that has not ended, with its group, and wait a little for its end."""
    if process.returncode is not None:
        return
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    with contextlib.suppress(asyncio.TimeoutError):
        await asyncio.wait_for(process.wait(), _KILL_S)


def _read(path: Path) -> Setting | None:
    """Return the setting in a file; one that cannot be read keeps no machine up."""
    try:
        kept = json.loads(path.read_bytes())
        return Setting(kept["autostop_mins"], tuple(kept["pulse"]), kept["stops"])
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError, KeyError) as error:
        log.warning("the autostop setting in %s cannot be read: %s", path, error)
        return None
