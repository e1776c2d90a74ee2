"""Whether the upgrade of the data channel is signed, and rightly.

As AWS's plugin signs it since version 1.2.764.0: SigV4, service `ssmmessages`, an empty body.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from tests.rigs.sagemakerbox.box import REGION

if TYPE_CHECKING:
    from collections.abc import Mapping

_ALGORITHM = "AWS4-HMAC-SHA256"


def is_right(path: str, headers: Mapping[str, str], secrets: Mapping[str, str]) -> bool | None:
    """Tell whether the signature is right; None: there is none.

    Args:
        path: What the upgrade asks for, with the query.
        headers: Its headers; the case of their names does not matter.
        secrets: The secret of each access key.
    """
    given = headers.get("Authorization", "")
    if not given.startswith(_ALGORITHM):
        return None
    key = given.partition("Credential=")[2].partition("/")[0]
    again = AWSRequest("GET", f"http://{headers['Host']}{path}")
    again.context["timestamp"] = headers.get("X-Amz-Date", "")
    token = headers.get("X-Amz-Security-Token")
    auth = SigV4Auth(Credentials(key, secrets.get(key, ""), token), "ssmmessages", REGION)
    signed = given.partition("SignedHeaders=")[2].partition(",")[0].split(";")
    for name in signed:
        if name != "host":
            again.headers[name] = headers.get(name, "")
    expected = auth.signature(auth.string_to_sign(again, auth.canonical_request(again)), again)
    return bool(given.rpartition("Signature=")[2] == expected)
