# Become a region: run by bash as process 1 of namespaces of its own, in which everything else is.
set -euo pipefail
umask 022
cd "$BOX_PROJECT"
. tests/rigs/cloudbox/user_files.sh

mount -t proc proc /proc
mkdir -p "$BOX_DISK"
mount -t tmpfs -o mode=755,size=80% region "$BOX_DISK"
keep_originals
cover "$BOX_DISK/first"

# The network, without a way out of it.
ip link set lo up
ip link add "$BOX_BRIDGE" type bridge
ip address add "$BOX_GATEWAY/16" dev "$BOX_BRIDGE"
ip link set "$BOX_BRIDGE" up

# While waiting, whatever is left without a parent ends up here. Nothing goes on without a cloud.
"$BOX_PYTHON" -u -m tests.rigs.cloudbox.hypervisor &
wait $!
