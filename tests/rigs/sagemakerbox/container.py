"""One container of a job: its folders, its input, its processes, its log."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from asyncio.subprocess import DEVNULL, PIPE, STDOUT
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.rigs.namespaces import children
from tests.rigs.sagemakerbox.box import HOME, KEY, PROJECT, REGION, SCRIPTS, Box
from tests.rigs.sagemakerbox.network import INTERFACE

if TYPE_CHECKING:
    from asyncio.subprocess import Process
    from collections.abc import Mapping

    from tests.rigs.sagemakerbox.account import Account
    from tests.rigs.sagemakerbox.network import Network

_FOLDERS = (
    "ml/input/config",
    "ml/code",
    "ml/output",
    "ml/model",
    "amazon",
    "sshd",
    "home",
    "etcssh",
)
_SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_SPACES = ("--net", "--mount", "--pid", "--fork", "--kill-child=SIGKILL")
_WITHOUT_SSHD = "/bare:"  # an image of this name comes without sshd, as most do


class Container:
    """Run a job's start command in namespaces of its own.

    Attributes:
        id: `JOB/HOST`.
        way_in: The socket through which Session Manager reaches its ports.
    """

    def __init__(
        self,
        box: Box,
        account: Account,
        request: Mapping[str, Any],
        host: str,
        network: Network,
        number: int,
    ) -> None:
        """Store what to run; nothing is started.

        Args:
            box: Where files are kept.
            account: Where input comes from, and output goes.
            request: What `CreateTrainingJob` was given.
            host: Its name, as in `algo-1`.
            network: What connects the containers of the job.
            number: Another one for each container of the box.
        """
        self._box = box
        self._account = account
        self._request = request
        self._host = host
        self._network = network
        self._job = str(request["TrainingJobName"])
        self.id = f"{self._job}/{host}"
        self.folder = box.jobs / self._job / host
        self.way_in = str(box.folder / f"in{number}.sock")
        self._process: Process | None = None

    async def run(self, arn: str, stream: str) -> int:
        """Run it to its end, and return the exit code of the start command."""
        await asyncio.to_thread(self._prepare)
        self._process = await asyncio.create_subprocess_exec(
            *self._command(),
            env=self._environment(arn),
            stdin=DEVNULL,
            stdout=PIPE,
            stderr=STDOUT,
            start_new_session=True,
        )
        await self._network.enter(self._host, self._process.pid)
        assert self._process.stdout is not None
        await asyncio.to_thread(self._account.begin_log, stream)
        while line := await self._process.stdout.readline():
            text = line.decode(errors="replace").rstrip("\n")
            await asyncio.to_thread(self._account.write_log, stream, text)
        return await self._process.wait()

    @property
    def failure(self) -> str:
        """What the job has written about why it failed."""
        file = self.folder / "ml/output/failure"
        return file.read_text() if file.exists() else ""

    def signal(self, number: int) -> Process | None:
        """Send a signal to process 1 of the container, and return what to wait for."""
        process = self._process
        if process is None or process.returncode is not None:
            return None
        with suppress(ProcessLookupError, FileNotFoundError):
            # The end by force is that of unshare, which takes all others along.
            gently = number != signal.SIGKILL and children(process.pid)
            os.kill(children(process.pid)[0] if gently else process.pid, number)
        return process

    def _prepare(self) -> None:
        for each in _FOLDERS:
            (self.folder / each).mkdir(parents=True, exist_ok=True)
        kind = self._request["ResourceConfig"].get("InstanceType", "")
        group = {"instance_group_name": "homogeneousCluster", "instance_type": kind}
        channels = self._request.get("InputDataConfig", [])
        self._write("hyperparameters", self._request.get("HyperParameters", {}))
        self._write(
            "resourceconfig",
            {
                "current_host": self._host,
                "current_instance_type": kind,
                "current_group_name": group["instance_group_name"],
                "hosts": self._network.hosts,
                "instance_groups": [{**group, "hosts": self._network.hosts}],
                "network_interface_name": INTERFACE,
            },
        )
        (self.folder / "hosts").write_text(self._network.hosts_file)
        given = {
            "TrainingInputMode": "File",
            "S3DistributionType": "FullyReplicated",
            "RecordWrapperType": "None",
        }
        self._write("inputdataconfig", {each["ChannelName"]: given for each in channels})
        for each in channels:
            to = self.folder / "ml/input/data" / each["ChannelName"]
            self._account.download(each["DataSource"]["S3DataSource"]["S3Uri"], to)

    def _write(self, name: str, value: object) -> None:
        (self.folder / f"ml/input/config/{name}.json").write_text(json.dumps(value))

    def _command(self) -> list[str]:
        base = Path(sys.base_prefix)
        mine = (self._box.folder, PROJECT, Path(sys.prefix), base)
        kept = dict.fromkeys(str(path) for path in mine if path.is_relative_to("/tmp"))
        relay = [sys.executable, str(SCRIPTS / "relay.py"), str(self._box.aws_socket)]
        specification = self._request["AlgorithmSpecification"]
        command = [
            *specification.get("ContainerEntrypoint", []),
            *specification.get("ContainerArguments", []),
        ]
        if not command:  # what the image itself does
            trains = "sagemaker_program" in self._request.get("HyperParameters", {})
            command = ["train" if trains else "sm-setup-ssh"]
        return [
            "unshare",
            *_SPACES,
            "bash",
            str(SCRIPTS / "container_init.sh"),
            str(self.folder),
            str(HOME),
            str(base) if base.is_relative_to(HOME) else "",
            " ".join(kept),
            "" if _WITHOUT_SSHD not in specification.get("TrainingImage", "") else "hidden",
            *relay,
            str(self._box.port),
            self.way_in,
            "--",
            *command,
        ]

    def _environment(self, arn: str) -> dict[str, str]:
        """Return the environment of the start command; nothing of the user's machine is in it."""
        python = os.path.dirname(sys.executable)
        return {
            "LANG": "C.UTF-8",
            "AWS_ENDPOINT_URL": self._box.endpoint,
            "AWS_DEFAULT_REGION": REGION,
            "NO_PROXY": "*",
            **self._request.get("Environment", {}),
            "AWS_ACCESS_KEY_ID": KEY,
            "AWS_SECRET_ACCESS_KEY": KEY,
            "AWS_REGION": REGION,
            "TRAINING_JOB_NAME": self._job,
            "TRAINING_JOB_ARN": arn,
            "SM_CURRENT_HOST": self._host,
            "SM_HOSTS": json.dumps(self._network.hosts),
            "SM_MODEL_DIR": "/opt/ml/model",
            "BOX_CONTAINER": self.id,
            "HOME": str(HOME),
            "PATH": f"{SCRIPTS / 'bin'}:{python}:{_SYSTEM_PATH}",
        }
