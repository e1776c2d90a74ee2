"""What the owner of the AWS account has: moto's S3, IAM, STS and logs, and what is in them."""

from __future__ import annotations

import json
import threading
import time
from typing import TYPE_CHECKING, Any

import boto3
from moto.server import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import WSGIRequestHandler, make_server

from tests.rigs.sagemakerbox.box import BUCKET, KEY, REGION, ROLE_NAME

if TYPE_CHECKING:
    from pathlib import Path

LOG_GROUP = "/aws/sagemaker/TrainingJobs"
_SERVICES = ["sagemaker.amazonaws.com", "ssm.amazonaws.com"]


class _Quiet(WSGIRequestHandler):
    """Answer requests without a line in the log for each."""

    def log_request(self, code: object = "-", size: object = "-") -> None:
        del code, size


class Account:
    """Answer, in threads, what moto can answer.

    Attributes:
        endpoint: Where it answers.
    """

    def __init__(self) -> None:
        """Start moto, and make what is there before any job: a role and a bucket."""
        moto = DomainDispatcherApplication(create_backend_app)
        server = make_server("127.0.0.1", 0, moto, threaded=True, request_handler=_Quiet)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        self.endpoint = f"http://127.0.0.1:{server.server_port}"
        self._clients: dict[str, Any] = {}
        trust = {"Effect": "Allow", "Principal": {"Service": _SERVICES}, "Action": "sts:AssumeRole"}
        self._client("iam").create_role(
            RoleName=ROLE_NAME,
            Path="/service-role/",
            AssumeRolePolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [trust]}),
        )
        self._client("s3").create_bucket(Bucket=BUCKET)
        self._client("logs").create_log_group(logGroupName=LOG_GROUP)

    def _client(self, name: str) -> Any:
        if name not in self._clients:
            self._clients[name] = boto3.client(
                name,
                region_name=REGION,
                endpoint_url=self.endpoint,
                aws_access_key_id=KEY,
                aws_secret_access_key=KEY,
            )
        return self._clients[name]

    def download(self, uri: str, to: Path) -> None:
        """Fetch what has a prefix in S3 into a folder."""
        bucket, _, prefix = uri.removeprefix("s3://").partition("/")
        s3 = self._client("s3")
        for each in s3.list_objects_v2(Bucket=bucket, Prefix=prefix).get("Contents", []):
            rest = each["Key"].removeprefix(prefix).lstrip("/")
            file = to / (rest or each["Key"].rpartition("/")[2])
            file.parent.mkdir(parents=True, exist_ok=True)
            s3.download_file(bucket, each["Key"], str(file))

    def begin_log(self, stream: str) -> None:
        """Make a stream for a container's output."""
        self._client("logs").create_log_stream(logGroupName=LOG_GROUP, logStreamName=stream)

    def write_log(self, stream: str, line: str) -> None:
        """Log a line of output; an empty one has a space, as AWS allows none."""
        event = {"timestamp": int(time.time() * 1000), "message": line or " "}
        self._client("logs").put_log_events(
            logGroupName=LOG_GROUP, logStreamName=stream, logEvents=[event]
        )
