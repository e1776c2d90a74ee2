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
    from runhouse.clusters.factory import (
        cluster as cluster,
        ondemand_cluster as ondemand_cluster,
        sagemaker_cluster as sagemaker_cluster,
    )
    from runhouse.clusters.here import here as here
    from runhouse.clusters.on_demand import OnDemandCluster as OnDemandCluster
    from runhouse.clusters.sagemaker import SageMakerCluster as SageMakerCluster
    from runhouse.clusters.status import ClusterStatus as ClusterStatus
    from runhouse.errors import (
        ArgumentsError as ArgumentsError,
        AuthenticationError as AuthenticationError,
        BootstrapError as BootstrapError,
        CallError as CallError,
        CapacityError as CapacityError,
        CloudCredentialsError as CloudCredentialsError,
        ClusterError as ClusterError,
        ClusterLostError as ClusterLostError,
        ClusterNotFoundError as ClusterNotFoundError,
        ClusterNotUpError as ClusterNotUpError,
        CommandFailedError as CommandFailedError,
        CommandTimeoutError as CommandTimeoutError,
        ConnectError as ConnectError,
        ConnectionWaitExpiredError as ConnectionWaitExpiredError,
        EnvSetupError as EnvSetupError,
        HostKeyChangedError as HostKeyChangedError,
        HostNotWritableError as HostNotWritableError,
        HostUnreachableError as HostUnreachableError,
        InvalidNameError as InvalidNameError,
        JobStoppedError as JobStoppedError,
        LaunchError as LaunchError,
        MethodNotFoundError as MethodNotFoundError,
        NotebookError as NotebookError,
        NotLoadableError as NotLoadableError,
        NotSerializableError as NotSerializableError,
        NoUsablePythonError as NoUsablePythonError,
        ObjectNotFoundError as ObjectNotFoundError,
        PermissionsError as PermissionsError,
        ProjectTooLargeError as ProjectTooLargeError,
        PythonMismatchError as PythonMismatchError,
        QueueFullError as QueueFullError,
        QuotaError as QuotaError,
        QuotaExceededError as QuotaExceededError,
        RecordError as RecordError,
        RemoteError as RemoteError,
        ResourcesError as ResourcesError,
        RoleNotFoundError as RoleNotFoundError,
        RunCancelledError as RunCancelledError,
        RunExistsError as RunExistsError,
        RunhouseError as RunhouseError,
        RunLostError as RunLostError,
        RunNotFoundError as RunNotFoundError,
        RunTimeoutError as RunTimeoutError,
        SecretConflictError as SecretConflictError,
        SecretError as SecretError,
        SecretNotFoundError as SecretNotFoundError,
        ServerBusyError as ServerBusyError,
        ServerLostError as ServerLostError,
        ServerStartError as ServerStartError,
        SettingsError as SettingsError,
        SkyServerError as SkyServerError,
        SSMUnavailableError as SSMUnavailableError,
        StoreFullError as StoreFullError,
        SyncError as SyncError,
        SyncSizeWarning as SyncSizeWarning,
        TrainingJobFailedError as TrainingJobFailedError,
        WorkerDiedError as WorkerDiedError,
        WorkerStartError as WorkerStartError,
    )
    from runhouse.proxies import run as run
    from runhouse.proxies.function import Function as Function, function as function
    from runhouse.proxies.module import Module as Module
    from runhouse.proxies.remote_class import module as module
    from runhouse.specs.env import CondaEnv as CondaEnv, Env as Env
    from runhouse.specs.envs import conda_env as conda_env, env as env
    from runhouse.specs.folder import Folder as Folder, folder as folder
    from runhouse.specs.package import Package as Package, package as package
    from runhouse.specs.secret import Secret as Secret, secret as secret
    from runhouse.version import __version__ as __version__

    fn = function
    cls = module

_HOMES = {
    "Cluster": "runhouse.clusters.cluster:Cluster",
    "ClusterStatus": "runhouse.clusters.status:ClusterStatus",
    "CondaEnv": "runhouse.specs.env:CondaEnv",
    "Env": "runhouse.specs.env:Env",
    "Folder": "runhouse.specs.folder:Folder",
    "Function": "runhouse.proxies.function:Function",
    "Module": "runhouse.proxies.module:Module",
    "OnDemandCluster": "runhouse.clusters.on_demand:OnDemandCluster",
    "Package": "runhouse.specs.package:Package",
    "Reference": "runhouse.client.reference:Reference",
    "Run": "runhouse.client.run:Run",
    "SageMakerCluster": "runhouse.clusters.sagemaker:SageMakerCluster",
    "Secret": "runhouse.specs.secret:Secret",
    "__version__": "runhouse.version:__version__",
    "cls": "runhouse.proxies.remote_class:module",
    "cluster": "runhouse.clusters.factory:cluster",
    "conda_env": "runhouse.specs.envs:conda_env",
    "env": "runhouse.specs.envs:env",
    "errors": "runhouse.errors:",
    "fn": "runhouse.proxies.function:function",
    "folder": "runhouse.specs.folder:folder",
    "function": "runhouse.proxies.function:function",
    "here": "runhouse.clusters.here:here",
    "module": "runhouse.proxies.remote_class:module",
    "ondemand_cluster": "runhouse.clusters.factory:ondemand_cluster",
    "package": "runhouse.specs.package:package",
    "run": "runhouse.proxies.run:",
    "sagemaker_cluster": "runhouse.clusters.factory:sagemaker_cluster",
    "secret": "runhouse.specs.secret:secret",
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
    "CondaEnv",
    "ConnectError",
    "ConnectionWaitExpiredError",
    "Env",
    "EnvSetupError",
    "Folder",
    "Function",
    "HostKeyChangedError",
    "HostNotWritableError",
    "HostUnreachableError",
    "InvalidNameError",
    "JobStoppedError",
    "LaunchError",
    "MethodNotFoundError",
    "Module",
    "NoUsablePythonError",
    "NotLoadableError",
    "NotSerializableError",
    "NotebookError",
    "ObjectNotFoundError",
    "OnDemandCluster",
    "Package",
    "PermissionsError",
    "ProjectTooLargeError",
    "PythonMismatchError",
    "QueueFullError",
    "QuotaError",
    "QuotaExceededError",
    "RecordError",
    "Reference",
    "RemoteError",
    "ResourcesError",
    "RoleNotFoundError",
    "Run",
    "RunCancelledError",
    "RunExistsError",
    "RunLostError",
    "RunNotFoundError",
    "RunTimeoutError",
    "RunhouseError",
    "SSMUnavailableError",
    "SageMakerCluster",
    "Secret",
    "SecretConflictError",
    "SecretError",
    "SecretNotFoundError",
    "ServerBusyError",
    "ServerLostError",
    "ServerStartError",
    "SettingsError",
    "SkyServerError",
    "StoreFullError",
    "SyncError",
    "SyncSizeWarning",
    "TrainingJobFailedError",
    "WorkerDiedError",
    "WorkerStartError",
    "__version__",
    "cls",
    "cluster",
    "conda_env",
    "env",
    "errors",
    "fn",
    "folder",
    "function",
    "here",
    "module",
    "ondemand_cluster",
    "package",
    "run",
    "sagemaker_cluster",
    "secret",
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
