#!/usr/bin/env bash
# Write requirements/*.txt anew: what to install, exactly, with hashes and without naming any index.
# Every file agrees with the ones before it, so that all of them can live in one environment; but for
# those of clouds, and of the peers in the measurements, which have their own.
set -euo pipefail
cd "$(dirname "$0")/.."

uv="${UV:-.venv/bin/uv}"
if ! command -v "$uv" >/dev/null; then
    scripts/setup.sh base
fi
mkdir -p requirements

# lock NAME SOURCE... [-c FILE]
lock() {
    local name="$1"
    shift
    "$uv" pip compile --quiet --universal --python-version 3.10 --fork-strategy "$forks" \
        --generate-hashes --no-header \
        --no-emit-index-url --no-emit-find-links --custom-compile-command "make lock" \
        ${UPGRADE:+--upgrade} --output-file "requirements/$name.txt" "$@"
    echo "requirements/$name.txt: $(grep -c '^[a-z0-9].*==' "requirements/$name.txt") packages"
}

# One version for every Python: these packages are shipped to hosts with another Python.
forks=fewest
lock base pyproject.toml
forks=requires-python
echo "uv" | lock uv - --constraint requirements/base.txt
lock build --group build --constraint requirements/base.txt
lock dev pyproject.toml --group dev --constraint requirements/base.txt --constraint requirements/build.txt
lock bench pyproject.toml --group bench --constraint requirements/dev.txt
# Both agree where they can, so that little is fetched twice.
lock cloud-machine --group cloud-machine
lock cloud pyproject.toml --extra sky --group cloud --constraint requirements/cloud-machine.txt
for peer in dask ray rpyc runhouse; do
    lock "peer-$peer" --group "peer-$peer"
done
