# Become one more user's machine in a region: run by bash as process 1 of namespaces of its own.
set -euo pipefail
umask 022
cd "$BOX_PROJECT"
. tests/rigs/cloudbox/user_files.sh

mount -t proc proc /proc
cover "$U_FOLDER"

printf '%s\n' "$U_NAME" >/proc/sys/kernel/hostname # SkyPilot tells users apart by it
ip link set lo up
for ((tries = 0; tries < 1000; tries++)); do
    ! ip link show eth0 >/dev/null 2>&1 || break
    sleep 0.01
done
ip address add "$U_IP/16" dev eth0
ip link set eth0 up

touch "$U_FOLDER/ready"
while :; do
    sleep 3600 &
    wait $!
done
