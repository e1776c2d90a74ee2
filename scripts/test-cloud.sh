#!/usr/bin/env bash
# Run the tests of clouds: real SkyPilot, in a region that is made for them.
# Arguments go to pytest.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/pytest_twice.sh

unset PYTHONDONTWRITEBYTECODE # hundreds of processes import the same modules
pytest=(scripts/in-region.sh -m pytest --override-ini testpaths=tests/cloud)
run "$@" || once_more $? "$@" # in a new region
