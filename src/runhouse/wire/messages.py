"""Messages: what client, server and worker may say to each other.

A connection to a worker begins as an HTTP/1.1 request that asks the server to upgrade it::

    GET /workers/ENV HTTP/1.1               (or /objects/KEY, or /runs/ID)
    Authorization: Bearer TOKEN
    Upgrade: runhouse-frames/1
    Runhouse-Scope: {"project": …}          (JSON, percent-encoded)
    Runhouse-Worker: ID                     (only that worker will do)

The server answers `101 Switching Protocols` and hands the socket to the worker; then frames flow
between client and worker, one call at a time on each connection. A call's events are numbered from
0, so that a client whose connection broke can attach again and go on where it stopped. The events
of a recorded run are also kept in a file: when its worker is gone, the server itself answers.
"""

from __future__ import annotations

from dataclasses import MISSING, asdict, dataclass, fields
from enum import Enum, IntEnum
from typing import TYPE_CHECKING, Literal, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Sequence

PROTOCOL = "runhouse-frames/1"
WORKER_HEADER = "Runhouse-Worker"
SCOPE_HEADER = "Runhouse-Scope"
PYTHON_HEADER = "Runhouse-Python"
# Names objects, as a JSON array, whose code is older than that of the worker that one has come to.
OUTDATED_HEADER = "Runhouse-Outdated"
# How many workers share the calls of the env, where it is not one.
WORKERS_HEADER = "Runhouse-Workers"
# The type in the last event of a run whose worker or server ended before it did.
LOST = "runhouse.errors.RunLostError"


class Kind(IntEnum):
    """Say what a frame is; below 16 from client to worker, from 16 on from worker to client."""

    CALL = 1
    ATTACH = 2
    CANCEL = 3
    ACK = 4
    LOG = 16
    STREAM = 17
    ITEM = 18
    RESULT = 19
    ERROR = 20
    UNKNOWN = 21
    STARTED = 22


Operation: TypeAlias = Literal[
    "define", "call", "new", "method", "read", "write", "put", "get", "describe"
]
"""What a call does: define a function or class under a key; call a function; make an instance of a
class under a key of its own; call a method of an object; read or write one of its attributes; put
an object under a key, or get it; describe what can be called."""

RunStatus: TypeAlias = Literal["queued", "running", "done", "failed", "cancelled", "lost"]
"""The state of a run. Lost: its worker or its server ended before it did."""

Format: TypeAlias = Literal["pickle", "whole", "json", "text", "repr", "none"]
"""How values are written: a pickle with large buffers apart; one with everything in its stream;
JSON; for arguments, JSON with a text by place and a list of texts by name; for answers, what `repr`
gives, as JSON, or nothing."""

LogEntry: TypeAlias = "tuple[str, object]"
"""`("stdout", text)`, `("stderr", text)`, or `("record", fields of a logging.LogRecord)`."""


class Itself(Enum):
    """Stand for the object whose method was called, where that returns it."""

    ITSELF = "itself"


@dataclass(frozen=True, slots=True)
class Call:
    """Ask a worker to run something (the frame's body holds the arguments).

    Attributes:
        run_id: Made by the client before sending: the same id is never run twice.
        op: What to do.
        key: The function, class or object.
        method: The name of the method or attribute.
        new_key: Where the new object goes, for `new` and `put`; a function's public name, for
            `define`.
        logs: Whether output is sent to the caller.
        log_level: Lowest level of log records that the caller wants.
        grace_s: How long the call goes on when its caller has vanished.
        record: Whether events are kept in a file, and the run goes on without its caller.
        name: The name of a recorded run.
        watch: Whether the caller of a recorded run wants more than to know that it has started.
        keep: The result stays in the worker, under this key.
        itself: A method that returns its own object is answered by `Itself` instead of a copy.
        persist: For `put`: keep a copy in a file, too.
        timeout_s: The call is ended after this long; 0: never.
        retries: How often it is repeated when it raises.
        retry_on: Qualified names of the exceptions that are worth a repetition; none: all.
        backoff_s: The pause before the first repetition; each further one is twice as long.
        parent: The run whose code makes this call.
        arguments: How the body is written.
        answer: How the result and items are written.
        release: Keys of objects that this client does not need any more.
        caller: Who makes it, as shown to people: `user@host`, or the name of a token.
    """

    run_id: str
    op: Operation
    key: str
    method: str = ""
    new_key: str = ""
    logs: bool = True
    log_level: int = 30
    grace_s: float = 30.0
    record: bool = False
    name: str = ""
    watch: bool = True
    keep: str = ""
    itself: bool = False
    persist: bool = False
    timeout_s: float = 0.0
    retries: int = 0
    retry_on: Sequence[str] = ()
    backoff_s: float = 0.0
    parent: str = ""
    arguments: Format = "pickle"
    answer: Format = "pickle"
    release: Sequence[str] = ()
    caller: str = ""

    def to_meta(self) -> dict[str, object]:
        """Return the message as a JSON object, without what has its default."""
        meta: dict[str, object] = {}
        for name, default in _CALL_DEFAULTS:
            value = getattr(self, name)
            if value != default:
                meta[name] = value
        return meta


_CALL_DEFAULTS = tuple(
    (field.name, None if field.default is MISSING else field.default) for field in fields(Call)
)


@dataclass(frozen=True, slots=True)
class RunInfo:
    """Tell about one run.

    Attributes:
        id: Made by the client.
        name: The name that it was given; empty for none.
        call: What was called: a function, or an object and its method.
        status: Its state.
        env: The env of its worker.
        worker_id: The worker.
        recorded: Whether it is kept after its end.
        created_at: When it arrived, in seconds since the epoch.
        ended_at: When it ended; 0 before.
        error: Type and message of what it raised; empty for nothing.
        kept: The key of its result in the object store; empty when the result was not kept there.
        caller: Who has made the call, as they say: `user@host`, or the name of a token.
    """

    id: str
    name: str
    call: str
    status: RunStatus
    env: str
    worker_id: str
    recorded: bool
    created_at: float
    ended_at: float = 0.0
    error: str = ""
    kept: str = ""
    caller: str = ""

    def to_meta(self) -> dict[str, object]:
        """Return the message as a JSON object."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Limits:
    """Bound what an env's worker takes.

    Attributes:
        concurrency: How many calls run at once; None: any number.
        queue: How many more may wait; None: any number.
        memory_bytes: The worker's memory above which it takes no further objects; None: all.
    """

    concurrency: int | None = None
    queue: int | None = None
    memory_bytes: int | None = None

    def to_meta(self) -> dict[str, object]:
        """Return the message as a JSON object."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Code:
    """Say where a function or class comes from (for `define`).

    Attributes:
        module: Module to import it from, or empty: the body holds it by value.
        name: Its qualified name in the module.
        file: For a script, which is imported by its path: that path.
        import_roots: Directories in which the code's imports are looked for, first one first.
    """

    module: str = ""
    name: str = ""
    file: str = ""
    import_roots: tuple[str, ...] = ()

    def to_meta(self) -> dict[str, object]:
        """Return the message as a JSON object."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Scope:
    """Say for which code a worker is wanted.

    Attributes:
        project: Directory on the host in which the worker runs, or empty for the home directory.
        generation: Changes when the project's code has changed; empty takes the worker as it is.
        python: Interpreter on the host, or empty for the one that the server runs in.
        imports: Further directories on the host in which imports are looked for.
        env: Digest of the env that the worker must run in, or empty: whatever its name stands for.
    """

    project: str = ""
    generation: str = ""
    python: str = ""
    imports: Sequence[str] = ()
    env: str = ""

    def to_meta(self) -> dict[str, object]:
        """Return the message as a JSON object."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Death:
    """Tell how a worker ended.

    Attributes:
        pid: Its process id.
        exit_code: Its exit code, or None when a signal ended it.
        signal_name: The signal, for example `"SIGKILL"`, or None.
        log_tail: The last lines that it wrote.
        cancelled: Ids of runs for whose sake it was ended.
    """

    pid: int
    exit_code: int | None
    signal_name: str | None
    log_tail: str
    cancelled: Sequence[str] = ()
