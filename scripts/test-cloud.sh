#!/usr/bin/env bash
# Run the tests of clouds: real SkyPilot, in a region that is made for them.
# Arguments go to pytest.
set -euo pipefail
cd "$(dirname "$0")/.."

unset PYTHONDONTWRITEBYTECODE # hundreds of processes import the same modules
code=0
scripts/in-region.sh -m pytest --override-ini testpaths=tests/cloud "$@" || code=$?
[ "$code" = 5 ] || exit "$code" # 5: no test was chosen
