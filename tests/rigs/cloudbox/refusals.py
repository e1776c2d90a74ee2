"""Requests that the region refuses: what a cloud does when it is full, or says no."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING
from xml.sax.saxutils import escape

if TYPE_CHECKING:
    from collections.abc import Mapping

PATH = "/cloudbox/refusals"

# EC2 has a form of its own for errors.
_EC2_ERROR = (
    "<Response><Errors><Error><Code>{code}</Code><Message>{message}</Message></Error></Errors>"
    "<RequestID>refused</RequestID></Response>"
)
_OTHER_ERROR = (
    "<ErrorResponse><Error><Type>Sender</Type><Code>{code}</Code><Message>{message}</Message>"
    "</Error><RequestId>refused</RequestId></ErrorResponse>"
)
_EC2_VERSION = "2016-11-15"


@dataclass(frozen=True, slots=True)
class Refusal:
    """Describe which requests are refused, and with which words.

    Attributes:
        action: Name of the request, as in `RunInstances`.
        code: Code of the error, as in `InsufficientInstanceCapacity`.
        message: Text of the error.
        instance_type: Only requests for this type are refused; None for all.
        zone: Only requests for this zone are refused; None for all.
        times: How many are refused; None for all.
    """

    action: str
    code: str
    message: str = "refused by the region"
    instance_type: str | None = None
    zone: str | None = None
    times: int | None = None

    def meets(self, request: Mapping[str, str], zones: Mapping[str, str]) -> bool:
        """Tell whether a request is among these.

        Args:
            request: Its parameters.
            zones: Zone of each subnet.
        """
        subnet = request.get("SubnetId") or request.get("NetworkInterface.1.SubnetId", "")
        zone = request.get("Placement.AvailabilityZone") or zones.get(subnet)
        return (
            request.get("Action") == self.action
            and self.instance_type in {None, request.get("InstanceType")}
            and self.zone in {None, zone}
        )

    def answer(self, request: Mapping[str, str]) -> bytes:
        """Return the body of the answer to a request."""
        form = _EC2_ERROR if request.get("Version") == _EC2_VERSION else _OTHER_ERROR
        return form.format(code=escape(self.code), message=escape(self.message)).encode()


def dump(refusals: list[Refusal]) -> bytes:
    """Return refusals as JSON."""
    return json.dumps([dataclasses.asdict(refusal) for refusal in refusals]).encode()


def load(text: bytes) -> list[Refusal]:
    """Return the refusals that a JSON text names."""
    return [Refusal(**entry) for entry in json.loads(text)]
