#!/usr/bin/env bash
# Make the documentation in build/docs/html, and run every code block of it.
#
#   scripts/docs.sh            all of it; arguments go to pytest
#   scripts/docs.sh --check    only make it: warnings are errors, and every link leads somewhere
#   scripts/docs.sh --write    write the pages that are made from the code anew
set -euo pipefail
cd "$(dirname "$0")/.."

scripts/setup.sh dev
python=.venv/bin/python
out=build/docs

# The pages that are made from the code: docs/NAME.md by scripts/NAME_page.py.
made=(cli http-routes)
make_page() {
    "$python" "scripts/${1//-/_}_page.py"
}

build() {
    local name
    for name in "${made[@]}"; do
        if ! make_page "$name" | diff -u "docs/$name.md" - >&2; then
            echo "docs/$name.md is not what the code says now. Write it anew: scripts/docs.sh --write" >&2
            return 1
        fi
    done
    if ! "$python" -c 'import myst_parser' 2>/dev/null; then
        echo "The pages were not made: that needs Python 3.11 or newer in .venv." >&2
        return 0
    fi
    "$python" -m sphinx --quiet --fail-on-warning --keep-going --builder html \
        --doctree-dir "$out/doctrees" docs "$out/html"
    "$python" scripts/check_links.py "$out/html"
}

case "${1:-}" in
--check) build ;;
--write)
    for name in "${made[@]}"; do
        make_page "$name" >"docs/.$name.new" && mv "docs/.$name.new" "docs/$name.md"
    done
    ;;
*)
    build
    echo "The documentation is in $out/html/index.html."
    exec "$python" -m pytest tests/docs "$@"
    ;;
esac
