"""`python -m runhouse.ssh.ssm TARGET`: an ssh proxy command through AWS Systems Manager."""

from __future__ import annotations

import argparse
import signal
import sys
from typing import TYPE_CHECKING

from runhouse import extras, settings
from runhouse.errors import RunhouseError, SSMUnavailableError
from runhouse.ssh.ssm import PREFIX

if TYPE_CHECKING:
    from types import FrameType

_EXAMPLE = """\
example:
  ssh -o ProxyCommand='python -m runhouse.ssh.ssm %h --port %p' root@mi-0123456789abcdef0

It needs the permissions ssm:StartSession, ssm:ResumeSession and ssm:TerminateSession, and
pip install 'runhouse[sagemaker]'.
"""
_DOCUMENTS = {"ssh": "AWS-StartSSHSession", "forwarding": "AWS-StartPortForwardingSession"}


def _end(number: int, frame: FrameType | None) -> None:
    """End in order, once: ssh asks so when it ends itself."""
    del frame
    for each in (signal.SIGHUP, signal.SIGTERM, signal.SIGINT):
        signal.signal(each, signal.SIG_IGN)
    raise SystemExit(128 + number)


def _port(text: str) -> int:
    if text.isdecimal() and 0 < int(text) < 65536:
        return int(text)
    msg = f"{text!r} is no port; give a number from 1 to 65535"
    raise argparse.ArgumentTypeError(msg)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m runhouse.ssh.ssm",
        description="Carry standard input and output to a port of an AWS target that has no "
        "address: a Session Manager session, without AWS's plugin.",
        epilog=_EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("target", help="mi-…, i-… or sagemaker-training-job:JOB_algo-N")
    parser.add_argument("--port", type=_port, default=22, help="port of the target (22)")
    parser.add_argument("--profile", help="profile of the AWS configuration")
    parser.add_argument("--region", help="AWS region (that of the profile)")
    parser.add_argument(
        "--document",
        choices=_DOCUMENTS,
        default="ssh",
        help="kind of session; forwarding where the account allows no other",
    )
    return parser.parse_args()


def main() -> int:
    """Carry one session; return the exit code."""
    arguments = _arguments()
    for number in (signal.SIGHUP, signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _end)
    try:
        service = extras.load("runhouse.ssh.ssm.service", extra="sagemaker")
        pump = extras.load("runhouse.ssh.ssm.pump", extra="sagemaker")
        chosen = settings.load()
        pump.Pump(
            service.Service(
                arguments.target,
                profile=arguments.profile,
                region=arguments.region,
                timeout_s=chosen.connect_timeout_s,
            ),
            port=arguments.port,
            document=_DOCUMENTS[arguments.document],
            connect_timeout_s=chosen.connect_timeout_s,
            resume_timeout_s=chosen.reconnect_timeout_s,
        ).run()
    except SSMUnavailableError as error:
        sys.stderr.write(f"{PREFIX}[{error.code}] {error}\n")
        return 1
    except (RunhouseError, ImportError) as error:
        sys.stderr.write(f"{PREFIX}{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
