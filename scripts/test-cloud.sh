#!/usr/bin/env bash
# Run the tests of clouds: real SkyPilot, in a region that is made for them (tests/rigs/cloudbox).
# Arguments go to pytest. Where no region can be made, nothing is run, and the reason is told.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/pip_settings.sh

skip() {
    echo "The tests of clouds are skipped. $*"
    exit 0
}
[ "$(id -u)" = 0 ] || skip "They make machines of Linux namespaces. Run them as root."
scripts/debian.sh openssh-server openssh-client rsync iproute2 sudo curl ||
    skip "The programs named above are missing."
reason="$(unshare --net --mount --pid --uts --ipc --fork --kill-child mount -t proc proc /proc 2>&1)" ||
    skip "No namespaces can be made here ($reason). Run them with CAP_SYS_ADMIN."

scripts/setup.sh cloud
python="$PWD/.venv/cloud/bin/python"
follow_pip_settings "$python"
code=0
# However this ends, the region ends too.
setpriv --pdeathsig=TERM "$python" -m tests.rigs.cloudbox run -- \
    "$python" -m pytest --override-ini testpaths=tests/cloud "$@" || code=$?
[ "$code" = 5 ] || exit "$code" # 5: no test was chosen
