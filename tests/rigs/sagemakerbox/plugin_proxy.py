"""A ProxyCommand with AWS's own session-manager-plugin, called as `aws ssm start-session` calls it.

    SESSION_MANAGER_PLUGIN=PATH ssh -o ProxyCommand='python plugin_proxy.py mi-0123 %p' root@box

An independent check of the rig, where there is a plugin.
"""

from __future__ import annotations

import json
import os
import sys

import boto3


def main() -> None:
    """Open a session, and become the plugin."""
    request = {
        "Target": sys.argv[1],
        "DocumentName": "AWS-StartSSHSession",
        "Parameters": {"portNumber": [sys.argv[2]]},
    }
    ssm = boto3.client("ssm")
    answer = {k: v for k, v in ssm.start_session(**request).items() if k != "ResponseMetadata"}
    plugin = os.environ.get("SESSION_MANAGER_PLUGIN", "session-manager-plugin")
    words = [json.dumps(answer), ssm.meta.region_name, "StartSession", "", json.dumps(request)]
    os.execvp(plugin, [plugin, *words, ssm.meta.endpoint_url])  # noqa: S606 - it is to be this


if __name__ == "__main__":
    main()
