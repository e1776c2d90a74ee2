"""Move bytes between two file descriptors and a session, and bring the session over breaks."""

from __future__ import annotations

import fcntl
import os
import select
import sys
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from runhouse.errors import SSMUnavailableError
from runhouse.ssh.ssm.channel import SSH_DOCUMENT, Channel
from runhouse.ssh.ssm.frames import FramingError
from runhouse.ssh.ssm.link import Link, LinkError
from runhouse.ssh.ssm.messages import DamagedMessageError
from runhouse.ssh.ssm.service import FINAL

if TYPE_CHECKING:
    from runhouse.ssh.ssm.service import Service, Ticket

_CHUNK: Final = 1 << 16
_PIPE_BYTES: Final = 1 << 20
_MOST_WAITING: Final = 1 << 20  # bytes that the network, or the reader, has not taken
_PING_AFTER_S: Final = 5.0
_SILENCE_S: Final = 8.0  # after a ping
_FIRST_PAUSE_S: Final = 0.1
_LONGEST_PAUSE_S: Final = 3.0
_FAREWELL_S: Final = 1.0  # for the agent to say that it has ended the session
_LAST_DATA_S: Final = 10.0  # for what was read before the end
_UNHEARD: Final = 3  # connections in a row that ended before a word
_HOLD_MS: Final = 2  # how long acknowledgements wait for company
_LOOK_S: Final = 0.02  # at the time, while something is on its way
_IDLE_LOOK_S: Final = 1.0
_GONE: Final = select.POLLERR | select.POLLHUP | select.POLLNVAL
_BREAKS = (LinkError, FramingError, DamagedMessageError)


class Pump:
    """Carry one session between two file descriptors."""

    def __init__(
        self,
        service: Service,
        *,
        port: int = 22,
        document: str = SSH_DOCUMENT,
        source: int = 0,
        sink: int = 1,
        connect_timeout_s: float = 10.0,
        resume_timeout_s: float = 60.0,
    ) -> None:
        """Store what is to be done.

        Args:
            service: What starts, resumes and ends sessions with the target.
            port: The port of the target.
            document: The session document.
            source: File descriptor of what is to be sent.
            sink: File descriptor for what comes.
            connect_timeout_s: Longest wait for the gateway, and then for the agent.
            resume_timeout_s: How long a broken connection is tried to be had again.
        """
        self._service = service
        self._port = port
        self._document = document
        self._source: int | None = source
        self._sink = sink
        self._connect_timeout_s = connect_timeout_s
        self._resume_timeout_s = resume_timeout_s
        self._channel = Channel(document)
        self._link: Link
        self._waiting = memoryview(b"")  # for the sink
        self._deadline: float | None = None
        self._over = self._parting = False
        self._heard = self._pinged = 0.0
        self._unheard = 0
        self._next_look = 0.0
        self._poll = select.poll()
        self._wanted: tuple[int, int, bool] | None = None

    def run(self) -> None:
        """Carry the session until one of its sides ends it.

        Raises:
            SSMUnavailableError: It could not be had, was lost for good, or the agent has ended it
                and said why.
        """
        ticket = self._service.start(self._document, self._port)
        try:
            self._prepare_pipes()
            self._deadline = time.monotonic() + self._connect_timeout_s
            self._begin(ticket)
            while not self._over:
                self._converse(ticket.session_id)
            if self._channel.closed is not None:
                os.set_blocking(self._sink, True)
                self._deliver([])
        finally:
            self._part(ticket.session_id)
        if self._channel.closed:
            why = f"The session was ended: {self._channel.closed}"
            raise self._error(why, "ChannelClosed")

    def _converse(self, session_id: str) -> None:
        """Carry the session until it is over or its connection breaks, and get a new one then."""
        try:
            while not self._over:
                self._turn()
        except _BREAKS as error:
            with suppress(*_BREAKS):  # what the agent has said last may be there all the same
                while self._receive(time.monotonic()):
                    continue
            self._link.close()
            if self._channel.closed is None:
                self._resume(session_id, error, self._resume_timeout_s)
            else:
                self._over = True

    def _prepare_pipes(self) -> None:
        """Let pipes hold more (Linux), and let no reader keep us from the network."""
        for descriptor in (self._source, self._sink):
            if descriptor is not None and hasattr(fcntl, "F_SETPIPE_SZ"):
                with suppress(OSError):  # it is no pipe, or there is a limit
                    fcntl.fcntl(descriptor, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
        os.set_blocking(self._sink, False)

    def _begin(self, ticket: Ticket) -> None:
        """Open the first connection."""
        try:
            self._open(ticket)
        except LinkError as error:
            self._resume(ticket.session_id, error, self._connect_timeout_s)

    def _open(self, ticket: Ticket) -> None:
        url = ticket.url
        headers, proxy = self._service.sign(url), self._service.proxy(url)
        self._link = Link(url, headers, timeout_s=self._connect_timeout_s, proxy=proxy)
        now = time.monotonic()
        self._heard = self._pinged = now
        self._wanted = None
        self._channel.connected(ticket.token, now)
        self._link.send(self._channel.to_send())

    def _resume(self, session_id: str, why: Exception, timeout_s: float) -> None:
        """Get a new connection for the session.

        Raises:
            SSMUnavailableError: It cannot be had.
        """
        deadline = time.monotonic() + timeout_s
        pause = _FIRST_PAUSE_S
        if self._unheard:
            time.sleep(pause * 2**self._unheard)
        self._unheard += 1
        failed: Exception = why
        while True:
            if getattr(failed, "status", 0) in range(400, 500) or self._unheard > _UNHEARD:
                raise self._error(f"{failed}", "Refused") from failed
            if isinstance(failed, SSMUnavailableError) and failed.code in FINAL:
                raise failed
            if self._is_deserted():
                self._over = True
                return
            if time.monotonic() > deadline:
                lost = f"The connection broke ({why}) and is not back in {timeout_s:g} s: {failed}"
                raise self._error(lost, "ConnectionLost") from failed
            try:
                self._open(self._service.resume(session_id))
            except (LinkError, SSMUnavailableError) as error:
                failed = error
                time.sleep(pause)
                pause = min(_LONGEST_PAUSE_S, 2 * pause)
            else:
                return

    def _is_deserted(self) -> bool:
        """Tell whether nobody reads any more what comes: ssh has ended."""
        poll = select.poll()
        poll.register(self._sink, 0)
        return any(mask & _GONE for _, mask in poll.poll(0))

    def _turn(self) -> None:
        """Wait until there is something to do, and do it."""
        channel, link = self._channel, self._link
        events = self._wait()
        now = time.monotonic()
        for descriptor, mask in events:
            if descriptor == self._source:
                self._take(now)
            elif descriptor != self._sink:
                self._receive(now)
            elif mask & _GONE:
                self._over = True
            else:
                self._deliver([])
        if now >= self._next_look:
            self._next_look = now + _LOOK_S
            self._look_at_the_time(now)
        data = channel.to_send(hold=bool(events))
        if data or link.backlog:
            link.send(data)
        if channel.lost:
            msg = "the gateway closed the connection"
            raise LinkError(msg)
        if channel.closed is not None:
            self._over = True

    def _receive(self, now: float) -> bool:
        """Take what has come, and tell whether anything has."""
        data = self._link.receive()
        if not data:
            return False
        channel = self._channel
        self._heard = now
        channel.feed(data, now)
        if not channel.lost:
            self._unheard = 0
        self._deliver(channel.output())
        while channel.notes:
            sys.stderr.write(f"{channel.notes.pop(0)}\n")
        return True

    def _wait(self) -> list[tuple[int, int]]:
        """Return the descriptors that are ready."""
        channel, backlog, waiting = self._channel, self._link.backlog, len(self._waiting)
        wanted = (
            (select.POLLIN if waiting < _MOST_WAITING else 0) | (select.POLLOUT if backlog else 0),
            (select.POLLOUT if waiting else 0) if not self._parting else -1,
            self._source is not None and backlog < _MOST_WAITING and channel.room > 0,
        )
        if wanted != self._wanted:
            self._wanted = wanted
            self._poll = select.poll()
            self._poll.register(self._link, wanted[0])
            if not self._parting:  # also without events, to hear when its reader goes
                self._poll.register(self._sink, wanted[1])
            if wanted[2] and self._source is not None:
                self._poll.register(self._source, select.POLLIN)
        if channel.holds:
            return self._poll.poll(_HOLD_MS)
        busy = channel.is_waiting or self._deadline is not None
        return self._poll.poll((_LOOK_S if busy else _IDLE_LOOK_S) * 1000)

    def _take(self, now: float) -> None:
        """Read what is to be sent."""
        assert self._source is not None  # noqa: S101
        data = os.read(self._source, min(_CHUNK, self._channel.room))
        if data:
            self._channel.write(data, now)
            return
        self._source = None
        self._channel.finish(now)
        self._deadline = now + _LAST_DATA_S

    def _deliver(self, parts: list[bytes]) -> None:
        """Write what has come, as far as its reader takes it."""
        if self._parting:
            return
        if parts:
            whole = len(parts) == 1 and not self._waiting
            self._waiting = memoryview(parts[0] if whole else b"".join([self._waiting, *parts]))
        try:
            with suppress(BlockingIOError):
                while self._waiting:
                    self._waiting = self._waiting[os.write(self._sink, self._waiting) :]
        except BrokenPipeError:
            self._waiting = memoryview(b"")
            self._over = True

    def _look_at_the_time(self, now: float) -> None:
        channel = self._channel
        channel.tick(now)
        if self._deadline is not None and self._source is not None and channel.ready:
            self._deadline = None
        if self._deadline is not None and now > self._deadline:
            if self._source is not None:
                msg = f"The agent did not begin the session within {self._connect_timeout_s:g} s"
                raise self._error(msg, "NoHandshake")
            self._over = True
        if len(self._waiting) >= _MOST_WAITING:
            self._heard = now  # nobody listens: the silence is ours
        elif self._pinged > self._heard and now > self._pinged + _SILENCE_S:
            msg = f"the gateway was silent for {now - self._heard:.0f} s"
            raise LinkError(msg)
        elif now >= max(self._heard, self._pinged) + _PING_AFTER_S:
            channel.ping()
            self._pinged = now

    def _part(self, session_id: str) -> None:
        """End the session on the far side, in a moment or not at all."""
        link = getattr(self, "_link", None)
        try:
            if self._channel.closed is None and link is not None and link.fileno() >= 0:
                self._say_goodbye()
        finally:
            if link is not None:
                link.close()
            if self._channel.closed is None:
                with suppress(SSMUnavailableError):
                    self._service.terminate(session_id)

    def _say_goodbye(self) -> None:
        """Ask the agent to end the session, and wait a moment until it says so."""
        self._waiting = memoryview(b"")
        now = time.monotonic()
        deadline = now + _FAREWELL_S
        if self._source is not None:
            self._source = None
            self._channel.finish(now)
        self._over, self._parting, self._deadline = False, True, deadline
        with suppress(*_BREAKS):
            self._link.send(self._channel.to_send())
            while not self._over:
                self._turn()

    def _error(self, why: str, code: str) -> SSMUnavailableError:
        target = self._service.target
        msg = f"{target} cannot be reached through Systems Manager. {why.rstrip('.')}."
        return SSMUnavailableError(msg, host=target, code=code)
