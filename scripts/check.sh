#!/usr/bin/env bash
# Run every check, all of them even when one fails, and name those that failed.
set -euo pipefail
cd "$(dirname "$0")/.."

scripts/setup.sh dev

failed=()
check() {
    echo "== $*"
    ".venv/bin/$@" || failed+=("$1 ${2:-}")
}

check ruff format --check --quiet
check ruff check --quiet
check mypy
check lint-imports --no-logo
check codespell
check python scripts/check_style.py
echo "== scripts/docs.sh --check"
scripts/docs.sh --check || failed+=("docs")

if [ "${#failed[@]}" -gt 0 ]; then
    printf 'Failed: %s\n' "${failed[@]}" >&2
    exit 1
fi
echo "All checks passed."
