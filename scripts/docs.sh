#!/usr/bin/env bash
# Run every code block of the documentation, as the tests in tests/docs do.
set -euo pipefail
cd "$(dirname "$0")/.."

scripts/setup.sh dev
exec .venv/bin/python -m pytest tests/docs "$@"
