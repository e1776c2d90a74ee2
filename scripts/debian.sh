#!/usr/bin/env bash
# Install the named Debian packages that are missing, without starting any service.
# Ends with code 1 and a message when it cannot: not Debian, or not root.
set -euo pipefail

missing=()
for package in "$@"; do
    case "$package" in
        openssh-server) program=/usr/sbin/sshd ;;
        openssh-client) program=ssh ;;
        rsync) program=rsync ;;
        iproute2) program=ip ;;
        awscli) program=/usr/bin/aws ;; # pip's is version 1
        git | curl | sudo | busybox | zsh | fish | sshfs | chromium) program=$package ;;
        *) program="" ;;
    esac
    if [ -z "$program" ] || ! PATH="$PATH:/usr/sbin:/sbin" command -v "$program" >/dev/null; then
        missing+=("$package")
    fi
done
[ "${#missing[@]}" -gt 0 ] || exit 0

if ! command -v apt-get >/dev/null || [ "$(id -u)" != 0 ]; then
    echo "Missing on this machine: ${missing[*]}." >&2
    echo "They can be installed only by root, on Debian and its relatives." >&2
    echo "Run: sudo apt-get install ${missing[*]}   (elsewhere: install what corresponds to them)." >&2
    exit 1
fi

# A daemon installed for tests must not begin to listen on this machine.
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
    trap 'rm -f "$policy"' EXIT
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod 755 "$policy"
fi

echo "Installing the Debian packages ${missing[*]}"
export DEBIAN_FRONTEND=noninteractive
fetch() {
    apt-get install --yes --quiet=2 --no-install-recommends -o Dpkg::Use-Pty=0 "${missing[@]}" >/dev/null
}
if ! fetch 2>/dev/null; then
    apt-get update --quiet=2
    fetch
fi
