#!/usr/bin/env bash
# Run examples/quickstart.py on this machine, or on the host that is given (user@host).
set -euo pipefail
cd "$(dirname "$0")/.."

if [ "$#" -gt 0 ]; then
    scripts/debian.sh openssh-client
    scripts/debian.sh rsync 2>/dev/null || true # quicker with it, but it works without
fi
scripts/setup.sh base
exec .venv/bin/python examples/quickstart.py "$@"
