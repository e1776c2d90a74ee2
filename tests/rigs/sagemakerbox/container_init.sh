# Process 1 of a container until it becomes the job's own start command: files and network of its own.
#   container_init.sh FOLDER HOME BASE KEPT SSHD RELAY... -- COMMAND...
set -e
folder=$1 home=$2 base=$3 kept=$4 sshd=$5
shift 5
relay=()
while [ "$1" != -- ]; do
    relay+=("$1")
    shift
done
shift
mount --make-rprivate /
ip link set lo up
if [ -n "$base" ]; then # Python lives in the home directory that is about to be covered
    mkdir -p "$folder/home/${base#"$home"/}"
    mount --bind "$base" "$folder/home/${base#"$home"/}"
fi
mkdir -p /opt/ml /var/lib/amazon /run/sshd
mount --bind "$folder/ml" /opt/ml
mount --bind "$folder/amazon" /var/lib/amazon
mount --bind "$folder/sshd" /run/sshd
mount --bind "$folder/etcssh" /etc/ssh
mount --rbind "$folder/home" "$home"
mount --bind "$folder/hosts" /etc/hosts
mount -t proc proc /proc
[ "$sshd" != hidden ] || mount --bind /dev/null /usr/sbin/sshd
mount -t tmpfs -o mode=1777 tmpfs /mnt # a /tmp of its own; what is needed from there is bound back
for each in $kept; do
    mkdir -p "/mnt/${each#/tmp/}"
    mount --bind "$each" "/mnt/${each#/tmp/}"
done
mount --move /mnt /tmp
"${relay[@]}" </dev/null &
wait_until() {
    for _ in $(seq 200); do
        "$@" && break
        sleep 0.02
    done
}
is_connected() { [ -n "$(ip link show eth0 up 2>/dev/null)" ]; }
wait_until [ -S "${relay[-1]}" ]
[ "$SM_HOSTS" = "[\"$SM_CURRENT_HOST\"]" ] || wait_until is_connected # there are others
cd /opt/ml/code
exec "$@"
