#!/usr/bin/env bash
# Run the tests of clouds: real SkyPilot, in a region that is made for them.
# Arguments go to pytest.
set -euo pipefail
cd "$(dirname "$0")/.."

unset PYTHONDONTWRITEBYTECODE # hundreds of processes import the same modules
# Ends with pytest's code, but for 5 (no test was chosen), which is 0 here.
run() {
    local code=0
    scripts/in-region.sh -m pytest --override-ini testpaths=tests/cloud "$@" || code=$?
    [ "$code" = 5 ] || return "$code"
}

code=0
run "$@" || code=$?
if [ "$code" = 1 ]; then
    echo "Once more, those that have failed, in a new region: they may have waited for the others."
    code=0
    run --last-failed --last-failed-no-failures none --maxfail 10 "$@" || code=$?
fi
exit "$code"
