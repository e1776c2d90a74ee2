"""Systems Manager's control plane: activations, managed instances, sessions."""

from __future__ import annotations

import asyncio
import base64
import os
import time
import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tests.rigs.sagemakerbox.box import AwsError, Box
from tests.rigs.sagemakerbox.session import Session

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.rigs.sagemakerbox.sagemaker import SageMaker

Request = dict[str, Any]
Answer = dict[str, Any]
DEBUG_TARGET = "sagemaker-training-job:"
_ONLINE_S = 5.0
_PAGE = 50
_AGENT = "3.3.1611.0"
_PORTS = {"AWS-StartSSHSession": "22", "AWS-StartPortForwardingSession": "80"}


class NotPlayedError(Exception):
    """Say that moto is to answer: about tags of a parameter, for example."""


@dataclass(slots=True)
class Instance:
    """Hold a managed instance: a container whose agent has registered itself."""

    container: str
    activation: str
    name: str
    role: str
    tags: dict[str, str]
    seen: float = field(default_factory=time.time)

    @property
    def is_online(self) -> bool:
        """Tell whether its agent has been heard of lately."""
        return time.time() - self.seen < _ONLINE_S


class SystemsManager:
    """Answer requests to SSM; each method in capitals is one.

    Attributes:
        sessions: The sessions that are open.
        gateway_port: Where their data channels are.
    """

    def __init__(self, box: Box, sagemaker: SageMaker, faults: Mapping[str, float]) -> None:
        """Have no instances and no sessions."""
        self.sessions: dict[str, Session] = {}
        self.gateway_port = 0
        self._box = box
        self._sagemaker = sagemaker
        self._faults = faults
        self._activations: dict[str, tuple[str, Request]] = {}
        self._instances: dict[str, Instance] = {}

    # -- activations and instances --------------------------------------------------------------

    def CreateActivation(self, request: Request) -> Answer:  # noqa: N802 - AWS's name
        """Let an agent register itself."""
        identity, code = str(uuid.uuid4()), uuid.uuid4().hex[:20]
        self._activations[identity] = (code, request)
        return {"ActivationId": identity, "ActivationCode": code}

    def DeleteActivation(self, request: Request) -> Answer:  # noqa: N802 - AWS's name
        """Let no further agent register itself with it."""
        self._activations.pop(request["ActivationId"], None)
        return {}

    def register(self, told: Mapping[str, str]) -> Answer:
        """Take in an agent that has an activation.

        Raises:
            AwsError: The activation is not known.
        """
        code, request = self._activations.get(told["id"], ("", {}))
        if not code or code != told["code"]:
            raise AwsError("InvalidActivation", "ActivationId or ActivationCode is invalid")
        identity = f"mi-{uuid.uuid4().hex[:17]}"
        self._instances[identity] = Instance(
            container=told["container"],
            activation=told["id"],
            name=request.get("DefaultInstanceName", ""),
            role=request.get("IamRole", ""),
            tags={each["Key"]: each["Value"] for each in request.get("Tags", [])},
        )
        return {"ManagedInstanceID": identity, "Region": told["region"]}

    def heartbeat(self, identity: str) -> None:
        """Note that an agent has been heard of."""
        if identity in self._instances:
            self._instances[identity].seen = time.time()

    def DeregisterManagedInstance(self, request: Request) -> Answer:  # noqa: N802 - AWS's name
        """Forget an instance."""
        if self._instances.pop(request["InstanceId"], None) is None:
            raise AwsError("InvalidInstanceId", "An error occurred: no such instance")
        return {}

    def _tags(self, request: Request) -> dict[str, str]:
        if request["ResourceType"] != "ManagedInstance":
            raise NotPlayedError
        if request["ResourceId"] not in self._instances:
            message = (
                f"The resource ID {request['ResourceId']} isn't valid. "
                "Verify that you entered the correct ID and try again."
            )
            raise AwsError("InvalidResourceId", message)
        return self._instances[request["ResourceId"]].tags

    def ListTagsForResource(self, request: Request) -> Answer:  # noqa: N802 - AWS's name
        """Return the tags of an instance."""
        return {"TagList": [{"Key": k, "Value": v} for k, v in self._tags(request).items()]}

    def AddTagsToResource(self, request: Request) -> Answer:  # noqa: N802 - AWS's name
        """Tag an instance."""
        self._tags(request).update((each["Key"], each["Value"]) for each in request["Tags"])
        return {}

    def RemoveTagsFromResource(self, request: Request) -> Answer:  # noqa: N802 - AWS's name
        """Take tags away from an instance."""
        for key in request["TagKeys"]:
            self._tags(request).pop(key, None)
        return {}

    def DescribeInstanceInformation(self, request: Request) -> Answer:  # noqa: N802 - AWS's name
        """List instances, a page at a time."""
        found = [
            _described(identity, instance)
            for identity, instance in self._instances.items()
            if all(_meets(identity, instance, each) for each in request.get("Filters", []))
        ]
        start, size = int(request.get("NextToken") or 0), request.get("MaxResults", _PAGE)
        more = {"NextToken": str(start + size)} if len(found) > start + size else {}
        return {"InstanceInformationList": found[start : start + size], **more}

    # -- sessions -------------------------------------------------------------------------------

    def _way_in(self, target: str) -> str:
        """Return the socket that leads into a target.

        Raises:
            AwsError: It has no session to give.
        """
        if target.startswith(DEBUG_TARGET):
            name, _, host = target.removeprefix(DEBUG_TARGET).rpartition("_")
            job = self._sagemaker.jobs.get(name)
            is_open = (
                job is not None
                and job.request.get("RemoteDebugConfig", {}).get("EnableRemoteDebug")
                and job.secondary == "Training"
                and not job.request.get("EnableNetworkIsolation")
            )
            container = self._sagemaker.container(name, host) if is_open else None
        else:
            instance = self._instances.get(target)
            if instance is not None and self._faults.get("standard_tier"):
                message = (
                    "Enable advanced-instances tier to use Session Manager with your on-premises "
                    "instances"
                )
                raise AwsError("BadRequest", message)
            name, _, host = (instance.container if instance else "").partition("/")
            is_open = instance is not None and instance.is_online
            container = self._sagemaker.container(name, host) if is_open else None
        if container is None or not os.path.exists(container.way_in):
            raise AwsError("TargetNotConnected", f"{target} is not connected.")
        return container.way_in

    def StartSession(self, request: Request) -> Answer:  # noqa: N802 - AWS's name
        """Open a session, and tell where its data channel is."""
        target, document = request["Target"], request.get("DocumentName", "")
        way_in = self._way_in(target)
        if document not in _PORTS:
            raise AwsError("InvalidDocument", f"Document with name {document} does not exist.")
        identity = f"box-{uuid.uuid4().hex[:17]}"
        given = request.get("Parameters", {})
        port = int(given.get("portNumber", [_PORTS[document]])[0])
        local_port = given.get("localPortNumber", ["0"])[0]
        self.sessions[identity] = Session(
            identity, target, document, way_in, port, local_port, self._faults, self._forget
        )
        return self.ResumeSession({"SessionId": identity})

    def _forget(self, identity: str) -> None:
        self.sessions.pop(identity, None)

    def ResumeSession(self, request: Request) -> Answer:  # noqa: N802 - AWS's name
        """Give a new token for a session."""
        identity = request["SessionId"]
        session = self.sessions.get(identity)
        if session is None:
            raise AwsError("DoesNotExistException", f"Session {identity} does not exist")
        token = base64.b64encode(os.urandom(60)).decode()
        session.tokens.add(token)
        stream = f"ws://127.0.0.1:{self.gateway_port}/v1/data-channel/{identity}"
        query = "?role=publish_subscribe&cell-number=box"
        return {"SessionId": identity, "TokenValue": token, "StreamUrl": stream + query}

    def TerminateSession(self, request: Request) -> Answer:  # noqa: N802 - AWS's name
        """End a session."""
        session = self.sessions.get(request["SessionId"])
        if session is not None:
            said = (
                "----------ERROR-------\nSession terminated by user" if session.connection else ""
            )
            session.tasks.append(asyncio.create_task(session.close(said)))
        return {"SessionId": request["SessionId"]}

    def DescribeSessions(self, request: Request) -> Answer:  # noqa: N802 - AWS's name
        """List the sessions that are open."""
        if request["State"] != "Active":
            return {"Sessions": []}
        return {
            "Sessions": [
                {
                    "SessionId": each.id,
                    "Target": each.target,
                    "DocumentName": each.document,
                    "Status": "Connected",
                }
                for each in self.sessions.values()
            ]
        }

    def GetServiceSetting(self, request: Request) -> Answer:  # noqa: N802 - AWS's name
        """Tell the tier of managed instances."""
        tier = "standard" if self._faults.get("standard_tier") else "advanced"
        setting = {"SettingId": request["SettingId"], "SettingValue": tier, "Status": "Customized"}
        return {"ServiceSetting": setting}


def _described(identity: str, instance: Instance) -> dict[str, Any]:
    return {
        "InstanceId": identity,
        "PingStatus": "Online" if instance.is_online else "ConnectionLost",
        "LastPingDateTime": instance.seen,
        "AgentVersion": _AGENT,
        "PlatformType": "Linux",
        "ResourceType": "ManagedInstance",
        "Name": instance.name,
        "IamRole": instance.role,
        "ActivationId": instance.activation,
        "ComputerName": instance.container,
    }


def _meets(identity: str, instance: Instance, wanted: Mapping[str, Any]) -> bool:
    """Tell whether an instance passes one filter."""
    key, values = wanted["Key"], wanted["Values"]
    if key == "tag-key":
        return any(value in instance.tags for value in values)
    if key.startswith("tag:"):
        return instance.tags.get(key.removeprefix("tag:")) in values
    described = _described(identity, instance)
    known = {"InstanceIds": "InstanceId", "ActivationIds": "ActivationId"}
    return described.get(known.get(key, key)) in values
