"""A user's machine: the files in its home directory, and the environment of its commands.

    python -m tests.rigs.cloudbox.home FOLDER     # by the scripts that begin such a machine

All that keeps SkyPilot in the region is set up here, by settings of its own.
"""

from __future__ import annotations

import os
import shutil
import sys
import time
from pathlib import Path

from tests.rigs.cloudbox import catalog
from tests.rigs.cloudbox.box import (
    CACHE_VARIABLE,
    DIR_VARIABLE,
    ENDPOINT,
    HOME,
    REGION,
    VPC_NAME,
    Box,
)
from tests.rigs.cloudbox.image import MachineImage
from tests.rigs.namespaces import SYSTEM_PATH

# Directories of the real home that users in the region do not see.
_HIDDEN = (".aws", ".config", ".rh", ".sky", ".ssh", "sky_logs")
_CATALOG = ".sky/catalogs/v8"
_CREDENTIALS = "[default]\naws_access_key_id = testing\naws_secret_access_key = testing\n"
# Addresses are private, and can be reached as they are.
_SKY_CONFIG = f"""\
allowed_clouds: [aws]
aws:
  vpc_names: {VPC_NAME}
  use_internal_ips: true
  use_ssm: false
"""
_DROPPED = ("AWS_", "PIP_", "PYTHON", "SKYPILOT_", "UV_", "XDG_")
_DROPPED_NAMES = {"all_proxy", "http_proxy", "https_proxy", "ssh_auth_sock", "virtual_env"}


def furnish(folder: Path, box: Box) -> None:
    """Write what a user has set up, into the layer that covers the home directory.

    Args:
        folder: The layer, an empty directory.
        box: The region.
    """
    for name in _HIDDEN:
        (folder / name).mkdir(mode=0o700)
        os.setxattr(folder / name, "trusted.overlay.opaque", b"y")
    files = {
        ".aws/credentials": _CREDENTIALS,
        ".aws/config": f"[default]\nregion = {REGION}\nendpoint_url = {ENDPOINT}\n",
        ".sky/config.yaml": _SKY_CONFIG,
    }
    for name, text in files.items():
        (folder / name).write_text(text)
        (folder / name).chmod(0o600)
    catalog.write(folder / _CATALOG)
    shutil.copytree(MachineImage.current(box).wheels, folder / ".sky/wheels")
    # SkyPilot builds its wheel again when a folder of its sources is newer, as one is when Python
    # has put compiled files there.
    tomorrow = time.time() + 86400
    os.utime(folder / ".sky/wheels", (tomorrow, tomorrow))
    for path in (folder / ".sky/wheels").rglob("*"):
        os.utime(path, (tomorrow, tomorrow))


def environment(box: Box) -> dict[str, str]:
    """Return the environment of a user's commands."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(_DROPPED) and name.lower() not in _DROPPED_NAMES
    }
    return {
        **kept,
        DIR_VARIABLE: str(box.folder),
        CACHE_VARIABLE: str(box.cache),
        "HOME": str(HOME),
        "USER": kept.get("USER", "root"),
        "PATH": f"{Path(sys.executable).parent}:{SYSTEM_PATH}",
        "NO_PROXY": "*",
        "AWS_ENDPOINT_URL": ENDPOINT,
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_MAX_ATTEMPTS": "2",
        "SKYPILOT_DISABLE_USAGE_COLLECTION": "1",
        "PIP_NO_INDEX": "1",
        "PIP_CONFIG_FILE": os.devnull,
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
    }


if __name__ == "__main__":
    furnish(Path(sys.argv[1]), Box.chosen())
