"""All errors that runhouse raises, as one tree.

::

    RunhouseError
    ├── SettingsError (ValueError)           a setting has a value that cannot be used
    ├── ConnectError (ConnectionError)       the host could not be reached or did not let us in
    │   ├── HostUnreachableError
    │   ├── AuthenticationError
    │   ├── HostKeyChangedError
    │   └── SSMUnavailableError              AWS Systems Manager does not lead to it
    ├── CommandFailedError                   a shell command on the host ended with a non-zero code
    │   └── CommandTimeoutError (TimeoutError)   it was ended because its time was up
    ├── SyncError                            files could not be copied
    │   └── ProjectTooLargeError             nothing was sent of it
    ├── BootstrapError                       the host was reached, but runhouse cannot start there
    │   ├── NoUsablePythonError
    │   ├── HostNotWritableError
    │   ├── ServerStartError
    │   ├── WorkerStartError
    │   └── ServerBusyError
    ├── SecretError                          a secret could not be read, sent or removed
    │   ├── SecretNotFoundError (LookupError)    it is not on this machine
    │   └── SecretConflictError              the host has another one in its place
    ├── EnvSetupError                        an env could not be made; what was there is as before
    ├── NotebookError                        JupyterLab or a kernel did not start on the host
    ├── ClusterError
    │   ├── ClusterNotFoundError (LookupError)
    │   ├── ClusterNotUpError
    │   │   └── ClusterLostError             its machines have stopped or gone
    │   │       └── JobStoppedError          its SageMaker job has ended
    │   │           └── TrainingJobFailedError       because the program that it ran has failed
    │   ├── LaunchError                      a cluster's machines did not come up
    │   │   ├── ResourcesError (ValueError)  no cloud has such a machine, or the request is wrong
    │   │   ├── CapacityError                there is such a machine, but none is free now
    │   │   ├── QuotaError                   the account may not have (that many of) it
    │   │   │   └── QuotaExceededError       so says SageMaker
    │   │   ├── CloudCredentialsError        no cloud lets us in
    │   │   ├── PermissionsError             AWS knows us, and does not allow this
    │   │   ├── RoleNotFoundError (LookupError)      there is no such IAM role, or none was given
    │   │   ├── ConnectionWaitExpiredError (TimeoutError)    the job runs, but lets nobody in
    │   │   └── SkyServerError (ConnectionError)     SkyPilot's API server does not answer
    │   ├── RecordError (ValueError)         a saved record cannot be read
    │   └── InvalidNameError (ValueError)
    ├── CallError                            a call could not be made, or was lost
    │   ├── NotSerializableError (TypeError)
    │   ├── NotLoadableError                 a value has come, but what it needs is not here
    │   ├── PythonMismatchError
    │   ├── ObjectNotFoundError (KeyError)
    │   ├── MethodNotFoundError (AttributeError)   told to callers that send JSON
    │   ├── ArgumentsError (TypeError)       arguments that came as JSON or text do not fit
    │   ├── StoreFullError                   the object store has reached its limit
    │   ├── QueueFullError                   too many calls are waiting already
    │   ├── RunCancelledError
    │   ├── RunTimeoutError (TimeoutError)   it took longer than its caller allowed
    │   ├── RunNotFoundError (LookupError)
    │   ├── RunExistsError                   a run of this name is going on
    │   ├── RunLostError                     its worker or server ended before it did
    │   ├── ServerLostError (ConnectionError)
    │   └── WorkerDiedError
    └── RemoteError                          the function's own exception, when it cannot be rebuilt

Facts about a failure are attributes (`host`, `exit_code`, `stderr_tail`); the text is made of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


class RunhouseError(Exception):
    """Be the base of every error that runhouse raises by itself."""


class SettingsError(RunhouseError, ValueError):
    """Report a setting (environment variable or `config.toml`) with an unusable value."""


class ConnectError(RunhouseError, ConnectionError):
    """Report that no connection to a host could be made.

    Attributes:
        host: The host as the user wrote it.
    """

    def __init__(self, message: str, *, host: str) -> None:
        """Store the message and the host."""
        super().__init__(message)
        self.host = host


class HostUnreachableError(ConnectError):
    """Report a host that does not answer: wrong name, wrong port, no network, or sshd is down."""


class AuthenticationError(ConnectError):
    """Report a host that answered but refused every way to log in.

    Attributes:
        methods: What was tried, in order, for example `("publickey id_ed25519", "password")`.
    """

    def __init__(self, message: str, *, host: str, methods: Sequence[str] = ()) -> None:
        """Store the message, the host and the methods tried."""
        super().__init__(message, host=host)
        self.methods = tuple(methods)


class HostKeyChangedError(ConnectError):
    """Report a host whose key differs from the one remembered in known_hosts."""


class SSMUnavailableError(ConnectError):
    """Report a host that cannot be reached through AWS Systems Manager.

    Attributes:
        code: AWS's name of the error, for example `"TargetNotConnected"`, or ours where AWS
            has said nothing.
    """

    def __init__(self, message: str, *, host: str, code: str = "") -> None:
        """Store the message, the target and the name of the error."""
        super().__init__(message, host=host)
        self.code = code


class CommandFailedError(RunhouseError):
    """Report a shell command that ended with a non-zero exit code.

    Attributes:
        command: The command as it was run on the host.
        exit_code: Its exit code; 128 + N when signal N ended it.
        stdout_tail: The end of its standard output.
        stderr_tail: The end of its standard error.
    """

    def __init__(
        self,
        message: str,
        *,
        command: str,
        exit_code: int,
        stdout_tail: str = "",
        stderr_tail: str = "",
    ) -> None:
        """Store the message and the facts."""
        super().__init__(message)
        self.command = command
        self.exit_code = exit_code
        self.stdout_tail = stdout_tail
        self.stderr_tail = stderr_tail


class CommandTimeoutError(CommandFailedError, TimeoutError):
    """Report a shell command that was ended because it ran longer than allowed (code 124)."""


class SyncSizeWarning(UserWarning):
    """Warn about a project that is larger than the setting `sync_warn_mb`."""


class SyncError(RunhouseError):
    """Report files that could not be copied to or from a host."""


class ProjectTooLargeError(SyncError):
    """Report a project of which nothing was sent, because it is larger than allowed.

    Attributes:
        size_bytes: How large it is, without what stays here.
    """

    def __init__(self, message: str, *, size_bytes: int) -> None:
        """Store the message and the size."""
        super().__init__(message)
        self.size_bytes = size_bytes


class SecretError(RunhouseError):
    """Report a secret that could not be read here, or sent to or removed from a host.

    Attributes:
        name: The secret's name.
    """

    def __init__(self, message: str, *, name: str = "") -> None:
        """Store the message and the name."""
        super().__init__(message)
        self.name = name


class SecretNotFoundError(SecretError, LookupError):
    """Report a secret that is not on this machine, or a name that nobody knows."""


class SecretConflictError(SecretError):
    """Report a secret that was not sent because the host has another one in its place.

    Attributes:
        places: Where on the host, each as `path` or `path (entry)`.
    """

    def __init__(self, message: str, *, name: str = "", places: Sequence[str] = ()) -> None:
        """Store the message and the facts."""
        super().__init__(message, name=name)
        self.places = tuple(places)


class BootstrapError(RunhouseError):
    """Report a host that was reached but on which runhouse could not start.

    Attributes:
        host: The host as the user wrote it.
    """

    def __init__(self, message: str, *, host: str) -> None:
        """Store the message and the host."""
        super().__init__(message)
        self.host = host


class NoUsablePythonError(BootstrapError):
    """Report a host without a Python of version 3.10 or newer.

    Attributes:
        found: The interpreters that were found, each as `"/path (version)"`.
    """

    def __init__(self, message: str, *, host: str, found: Sequence[str] = ()) -> None:
        """Store the message, the host and the interpreters found."""
        super().__init__(message, host=host)
        self.found = tuple(found)


class HostNotWritableError(BootstrapError):
    """Report a host whose home directory is full or read-only."""


class ServerStartError(BootstrapError):
    """Report a server that did not come up.

    Attributes:
        log_tail: The last lines of the server's log on the host.
    """

    def __init__(self, message: str, *, host: str, log_tail: str = "") -> None:
        """Store the message, the host and the end of the log."""
        super().__init__(message, host=host)
        self.log_tail = log_tail


class WorkerStartError(BootstrapError):
    """Report a worker process that did not come up; the message has its last lines."""


class ServerBusyError(BootstrapError):
    """Report a server of another version that cannot be replaced because it is in use.

    Attributes:
        calls: How many calls are running.
        objects: How many objects its workers hold.
    """

    def __init__(self, message: str, *, host: str, calls: int = 0, objects: int = 0) -> None:
        """Store the message and the facts."""
        super().__init__(message, host=host)
        self.calls = calls
        self.objects = objects


class EnvSetupError(RunhouseError):
    """Report an env that could not be set up on a host; what was there before is unchanged.

    Attributes:
        host: The host as the user wrote it.
        env: The env's name.
        step: What failed: `"python"`, `"packages"`, `"commands"`, `"conda"`, `"disk"` or `"uv"`.
        exit_code: The exit code of the installer or command.
        output_tail: Its last lines.
    """

    def __init__(
        self,
        message: str,
        *,
        host: str,
        env: str = "",
        step: str = "",
        exit_code: int = 1,
        output_tail: str = "",
    ) -> None:
        """Store the message and the facts."""
        super().__init__(message)
        self.host = host
        self.env = env
        self.step = step
        self.exit_code = exit_code
        self.output_tail = output_tail


class NotebookError(RunhouseError):
    """Report JupyterLab or a kernel that did not start on a host.

    Attributes:
        host: The host as the user wrote it; empty when it was not asked.
        output_tail: The last that it said.
    """

    def __init__(self, message: str, *, host: str = "", output_tail: str = "") -> None:
        """Store the message and the facts."""
        super().__init__(message)
        self.host = host
        self.output_tail = output_tail


class ClusterError(RunhouseError):
    """Be the base of errors about a cluster as a named thing."""


class ClusterNotFoundError(ClusterError, LookupError):
    """Report a name under which no cluster is saved.

    Attributes:
        name: The name that was asked for.
        near: Saved names that look like it.
    """

    def __init__(self, message: str, *, name: str, near: Sequence[str] = ()) -> None:
        """Store the message and the names."""
        super().__init__(message)
        self.name = name
        self.near = tuple(near)


class ClusterNotUpError(ClusterError):
    """Report an action that needs a running cluster on one that is not up."""


class ClusterLostError(ClusterNotUpError):
    """Report a cluster whose machines have stopped or gone since they were last used.

    Attributes:
        cluster: The cluster's name.
        state: `"stopped"`: its disks are kept; `"gone"`: nothing is left.
    """

    def __init__(self, message: str, *, cluster: str, state: str = "gone") -> None:
        """Store the message, the name and what is left."""
        super().__init__(message)
        self.cluster = cluster
        self.state = state


class JobStoppedError(ClusterLostError):
    """Report a SageMaker job that has ended: by hand, idle, out of time, or with its program.

    Attributes:
        job: The job's name.
        status: SageMaker's word for how it ended, for example `"Stopped"`.
    """

    def __init__(self, message: str, *, cluster: str, job: str = "", status: str = "") -> None:
        """Store the message and the facts."""
        super().__init__(message, cluster=cluster)
        self.job = job
        self.status = status


class TrainingJobFailedError(JobStoppedError):
    """Report a SageMaker job whose program has failed.

    Attributes:
        exit_code: The program's exit code; None when SageMaker did not tell it.
        reason: Why it failed, as the program or SageMaker says.
        log_tail: The last lines of its output that were seen.
    """

    def __init__(
        self,
        message: str,
        *,
        cluster: str,
        job: str = "",
        exit_code: int | None = None,
        reason: str = "",
        log_tail: str = "",
    ) -> None:
        """Store the message and the facts."""
        super().__init__(message, cluster=cluster, job=job, status="Failed")
        self.exit_code = exit_code
        self.reason = reason
        self.log_tail = log_tail


class LaunchError(ClusterError):
    """Report that a cluster's machines did not come up, or did not do what was asked of them.

    Attributes:
        cluster: The cluster's name.
        reason: What SkyPilot or the cloud said.
    """

    def __init__(self, message: str, *, cluster: str, reason: str = "") -> None:
        """Store the message, the name and the reason."""
        super().__init__(message)
        self.cluster = cluster
        self.reason = reason


class ResourcesError(LaunchError, ValueError):
    """Report a request that no machine of the clouds in use satisfies."""


class CapacityError(LaunchError):
    """Report that the clouds have such machines, but none that is free now."""


class QuotaError(LaunchError):
    """Report that the account may not have such a machine, or not so many."""


class QuotaExceededError(QuotaError):
    """Report a job that exceeds a limit of the account; `reason` is what SageMaker says."""


class CloudCredentialsError(LaunchError):
    """Report that no cloud lets us in."""


class PermissionsError(LaunchError):
    """Report that AWS does not allow an operation.

    Attributes:
        action: The permission that is missing, as IAM writes it.
    """

    def __init__(self, message: str, *, cluster: str, reason: str = "", action: str = "") -> None:
        """Store the message and the facts."""
        super().__init__(message, cluster=cluster, reason=reason)
        self.action = action


class RoleNotFoundError(LaunchError, LookupError):
    """Report an IAM role that does not exist, cannot be used by SageMaker, or was not given."""


class ConnectionWaitExpiredError(LaunchError, TimeoutError):
    """Report a SageMaker job that runs, but could not be connected to in time."""


class SkyServerError(LaunchError, ConnectionError):
    """Report that SkyPilot's API server does not answer, or ended in the middle of something."""


class RecordError(ClusterError, ValueError):
    """Report a saved record that cannot be read, or fields that a record must not hold."""


class InvalidNameError(ClusterError, ValueError):
    """Report a name that cannot be used for a resource."""


class CallError(RunhouseError):
    """Be the base of errors about one call."""


class NotSerializableError(CallError, TypeError):
    """Report an argument, a result or a function that cannot be pickled."""


class NotLoadableError(CallError):
    """Report a result that has come but cannot be loaded here, as its class is not known here."""


class PythonMismatchError(CallError):
    """Report code that must go by value between two different minor versions of Python.

    Attributes:
        here: The version on this side, for example `"3.11"`.
        there: The version of the worker.
    """

    def __init__(self, message: str, *, here: str, there: str) -> None:
        """Store the message and both versions."""
        super().__init__(message)
        self.here = here
        self.there = there


class ObjectNotFoundError(CallError, KeyError):
    """Report a key under which the cluster holds nothing.

    Attributes:
        key: The key that was asked for.
        worker_id: The worker that was asked, when a call has found that out.
    """

    def __init__(self, message: str, *, key: str = "") -> None:
        """Store the message and the key."""
        super().__init__(message)
        self.key = key
        self.worker_id = ""

    def __str__(self) -> str:
        """Return the message (KeyError would show its repr)."""
        return str(self.args[0])


class MethodNotFoundError(CallError, AttributeError):
    """Report an object that has no method or attribute of a name."""


class ArgumentsError(CallError, TypeError):
    """Report arguments that came as JSON or text and do not fit what is called.

    Attributes:
        parameter: The parameter; empty when it is not about one alone.
        expected: What it takes.
    """

    def __init__(self, message: str, *, parameter: str = "", expected: str = "") -> None:
        """Store the message and the facts."""
        super().__init__(message)
        self.parameter = parameter
        self.expected = expected


class RunCancelledError(CallError):
    """Report a call that was cancelled before it ended."""


class StoreFullError(CallError):
    """Report an object that was not kept because the env's limit is reached.

    Attributes:
        used_bytes: The worker's memory with the object.
        limit_bytes: The limit.
    """

    def __init__(self, message: str, *, used_bytes: int = 0, limit_bytes: int = 0) -> None:
        """Store the message and the sizes."""
        super().__init__(message)
        self.used_bytes = used_bytes
        self.limit_bytes = limit_bytes


class QueueFullError(CallError):
    """Report a call that was not taken because too many are waiting.

    Attributes:
        waiting: How many calls were waiting.
    """

    def __init__(self, message: str, *, waiting: int = 0) -> None:
        """Store the message and the number."""
        super().__init__(message)
        self.waiting = waiting


class RunTimeoutError(CallError, TimeoutError):
    """Report a call that was ended because it took longer than its caller allowed."""


class RunNotFoundError(CallError, LookupError):
    """Report a run that the cluster does not know.

    Attributes:
        key: The name or id that was asked for.
    """

    def __init__(self, message: str, *, key: str = "") -> None:
        """Store the message and the name or id."""
        super().__init__(message)
        self.key = key


class RunExistsError(CallError):
    """Report a run that was not started because one of its name is going on.

    Attributes:
        key: The name.
    """

    def __init__(self, message: str, *, key: str = "") -> None:
        """Store the message and the name."""
        super().__init__(message)
        self.key = key


class RunLostError(CallError):
    """Report a recorded run whose worker or server ended before it did; its logs are kept."""


class ServerLostError(CallError, ConnectionError):
    """Report a server that went away for good while a call was running."""


class WorkerDiedError(CallError):
    """Report a worker process that ended in the middle of a call.

    Attributes:
        pid: The process id on the host.
        exit_code: Its exit code, or None when a signal ended it.
        signal_name: The signal, for example `"SIGKILL"`, or None.
        log_tail: The last lines that it wrote.
    """

    def __init__(
        self,
        message: str,
        *,
        pid: int | None = None,
        exit_code: int | None = None,
        signal_name: str | None = None,
        log_tail: str = "",
    ) -> None:
        """Store the message and the facts."""
        super().__init__(message)
        self.pid = pid
        self.exit_code = exit_code
        self.signal_name = signal_name
        self.log_tail = log_tail


class RemoteError(RunhouseError):
    """Stand for an exception of the remote function that cannot be rebuilt here.

    Attributes:
        type_name: The qualified name of the original class, for example `"pkg.errors.MyError"`.
        remote_traceback: The traceback as the worker printed it, with source lines.
    """

    def __init__(self, message: str, *, type_name: str, remote_traceback: str = "") -> None:
        """Store the message, the type name and the traceback."""
        super().__init__(message)
        self.type_name = type_name
        self.remote_traceback = remote_traceback
