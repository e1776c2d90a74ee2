#!/usr/bin/env bash
# Run Python, with the arguments given, in a region that is made for it (tests/rigs/cloudbox).
# It has SkyPilot. Where no region can be made, nothing is run, and the last line tells the reason.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/pip_settings.sh

skip() {
    echo "What needs a region of machines is skipped. $*"
    exit 0
}
[ "$(id -u)" = 0 ] || skip "It makes machines of Linux namespaces. Run it as root."
scripts/debian.sh openssh-server openssh-client rsync iproute2 sudo curl ||
    skip "The programs named above are missing."
reason="$(unshare --net --mount --pid --uts --ipc --fork --kill-child mount -t proc proc /proc 2>&1)" ||
    skip "No namespaces can be made here ($reason). Run it with CAP_SYS_ADMIN."

scripts/setup.sh cloud
python="$PWD/.venv/cloud/bin/python"
follow_pip_settings "$python"
# However this ends, the region ends too.
exec setpriv --pdeathsig=TERM "$python" -m tests.rigs.cloudbox run -- "$python" "$@"
