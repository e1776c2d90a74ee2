"""Run your Python on any machine you can reach.

```python
import runhouse as rh

box = rh.cluster("box", host="ada@gpu-box")
remote = rh.function(train).to(box)
remote(epochs=3)
```

Names are loaded on first use, so that `import runhouse` stays quick.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from runhouse import errors as errors
    from runhouse.client.reference import Reference as Reference
    from runhouse.client.run import Run as Run
    from runhouse.clusters.cluster import Cluster as Cluster
    from runhouse.clusters.factory import cluster as cluster
    from runhouse.clusters.factory import ondemand_cluster as ondemand_cluster
    from runhouse.clusters.here import here as here
    from runhouse.clusters.on_demand import OnDemandCluster as OnDemandCluster
    from runhouse.clusters.status import ClusterStatus as ClusterStatus
    from runhouse.errors import (
        ArgumentsError as ArgumentsError,
    )
    from runhouse.errors import (
        AuthenticationError as AuthenticationError,
    )
    from runhouse.errors import (
        BootstrapError as BootstrapError,
    )
    from runhouse.errors import (
        CallError as CallError,
    )
    from runhouse.errors import (
        CapacityError as CapacityError,
    )
    from runhouse.errors import (
        CloudCredentialsError as CloudCredentialsError,
    )
    from runhouse.errors import (
        ClusterError as ClusterError,
    )
    from runhouse.errors import (
        ClusterLostError as ClusterLostError,
    )
    from runhouse.errors import (
        ClusterNotFoundError as ClusterNotFoundError,
    )
    from runhouse.errors import (
        ClusterNotUpError as ClusterNotUpError,
    )
    from runhouse.errors import (
        CommandFailedError as CommandFailedError,
    )
    from runhouse.errors import (
        CommandTimeoutError as CommandTimeoutError,
    )
    from runhouse.errors import (
        ConnectError as ConnectError,
    )
    from runhouse.errors import (
        HostKeyChangedError as HostKeyChangedError,
    )
    from runhouse.errors import (
        HostNotWritableError as HostNotWritableError,
    )
    from runhouse.errors import (
        HostUnreachableError as HostUnreachableError,
    )
    from runhouse.errors import (
        InvalidNameError as InvalidNameError,
    )
    from runhouse.errors import (
        LaunchError as LaunchError,
    )
    from runhouse.errors import (
        MethodNotFoundError as MethodNotFoundError,
    )
    from runhouse.errors import (
        NotLoadableError as NotLoadableError,
    )
    from runhouse.errors import (
        NotSerializableError as NotSerializableError,
    )
    from runhouse.errors import (
        NoUsablePythonError as NoUsablePythonError,
    )
    from runhouse.errors import (
        ObjectNotFoundError as ObjectNotFoundError,
    )
    from runhouse.errors import (
        ProjectTooLargeError as ProjectTooLargeError,
    )
    from runhouse.errors import (
        PythonMismatchError as PythonMismatchError,
    )
    from runhouse.errors import (
        QueueFullError as QueueFullError,
    )
    from runhouse.errors import (
        QuotaError as QuotaError,
    )
    from runhouse.errors import (
        RecordError as RecordError,
    )
    from runhouse.errors import (
        RemoteError as RemoteError,
    )
    from runhouse.errors import (
        ResourcesError as ResourcesError,
    )
    from runhouse.errors import (
        RunCancelledError as RunCancelledError,
    )
    from runhouse.errors import (
        RunExistsError as RunExistsError,
    )
    from runhouse.errors import (
        RunhouseError as RunhouseError,
    )
    from runhouse.errors import (
        RunLostError as RunLostError,
    )
    from runhouse.errors import (
        RunNotFoundError as RunNotFoundError,
    )
    from runhouse.errors import (
        RunTimeoutError as RunTimeoutError,
    )
    from runhouse.errors import (
        ServerBusyError as ServerBusyError,
    )
    from runhouse.errors import (
        ServerLostError as ServerLostError,
    )
    from runhouse.errors import (
        ServerStartError as ServerStartError,
    )
    from runhouse.errors import (
        SettingsError as SettingsError,
    )
    from runhouse.errors import (
        SkyServerError as SkyServerError,
    )
    from runhouse.errors import (
        StoreFullError as StoreFullError,
    )
    from runhouse.errors import (
        SyncError as SyncError,
    )
    from runhouse.errors import (
        SyncSizeWarning as SyncSizeWarning,
    )
    from runhouse.errors import (
        WorkerDiedError as WorkerDiedError,
    )
    from runhouse.errors import (
        WorkerStartError as WorkerStartError,
    )
    from runhouse.proxies import run as run
    from runhouse.proxies.function import Function as Function
    from runhouse.proxies.function import function as function
    from runhouse.proxies.module import Module as Module
    from runhouse.proxies.remote_class import module as module
    from runhouse.version import __version__ as __version__

    fn = function
    cls = module

_HOMES = {
    "Cluster": "runhouse.clusters.cluster:Cluster",
    "ClusterStatus": "runhouse.clusters.status:ClusterStatus",
    "Function": "runhouse.proxies.function:Function",
    "Module": "runhouse.proxies.module:Module",
    "OnDemandCluster": "runhouse.clusters.on_demand:OnDemandCluster",
    "Reference": "runhouse.client.reference:Reference",
    "Run": "runhouse.client.run:Run",
    "__version__": "runhouse.version:__version__",
    "cls": "runhouse.proxies.remote_class:module",
    "cluster": "runhouse.clusters.factory:cluster",
    "errors": "runhouse.errors:",
    "fn": "runhouse.proxies.function:function",
    "function": "runhouse.proxies.function:function",
    "here": "runhouse.clusters.here:here",
    "module": "runhouse.proxies.remote_class:module",
    "ondemand_cluster": "runhouse.clusters.factory:ondemand_cluster",
    "run": "runhouse.proxies.run:",
}

__all__ = [  # noqa: PLE0604, F822 - loaded on first use
    "ArgumentsError",
    "AuthenticationError",
    "BootstrapError",
    "CallError",
    "CapacityError",
    "CloudCredentialsError",
    "Cluster",
    "ClusterError",
    "ClusterLostError",
    "ClusterNotFoundError",
    "ClusterNotUpError",
    "ClusterStatus",
    "CommandFailedError",
    "CommandTimeoutError",
    "ConnectError",
    "Function",
    "HostKeyChangedError",
    "HostNotWritableError",
    "HostUnreachableError",
    "InvalidNameError",
    "LaunchError",
    "MethodNotFoundError",
    "Module",
    "NoUsablePythonError",
    "NotLoadableError",
    "NotSerializableError",
    "ObjectNotFoundError",
    "OnDemandCluster",
    "ProjectTooLargeError",
    "PythonMismatchError",
    "QueueFullError",
    "QuotaError",
    "RecordError",
    "Reference",
    "RemoteError",
    "ResourcesError",
    "Run",
    "RunCancelledError",
    "RunExistsError",
    "RunLostError",
    "RunNotFoundError",
    "RunTimeoutError",
    "RunhouseError",
    "ServerBusyError",
    "ServerLostError",
    "ServerStartError",
    "SettingsError",
    "SkyServerError",
    "StoreFullError",
    "SyncError",
    "SyncSizeWarning",
    "WorkerDiedError",
    "WorkerStartError",
    "__version__",
    "cls",
    "cluster",
    "errors",
    "fn",
    "function",
    "here",
    "module",
    "ondemand_cluster",
    "run",
]


def __getattr__(name: str) -> object:
    """Load a public name on first use."""
    is_error = name.endswith(("Error", "Warning")) and name in __all__
    home = f"runhouse.errors:{name}" if is_error else _HOMES.get(name)
    if home is None:
        msg = f"module 'runhouse' has no attribute {name!r}"
        raise AttributeError(msg)
    module_name, _, attribute = home.partition(":")
    found = importlib.import_module(module_name)
    value = getattr(found, attribute) if attribute else found
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """Return the public names."""
    return sorted(__all__)
