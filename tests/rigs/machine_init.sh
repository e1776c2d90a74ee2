# Become a machine: run by bash as process 1 of new mount, pid, uts, ipc and (mostly) net namespaces.
#
# Standard input: M_SIZE bytes of tar, laid over the new root directory. When it ends after that,
# the machine does too: so it cannot outlive the process that holds the other end.
# Lists are lines; the fields of a line are separated by tabs.
set -euo pipefail
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
umask 022

# The disk of the machine is memory, gone with the last process.
mount -t tmpfs -o "mode=755,size=$M_DISK" machine "$M_MOUNT"
cd "$M_MOUNT"
mkdir root upper work
mount --bind root root
root=$M_MOUNT/root
layers=0

# Show a directory of the outside at its own place; what is written there stays inside.
layer() {
    layers=$((layers + 1))
    mkdir -p "upper/$layers" "work/$layers" "$root$1"
    mount -t overlay -o "lowerdir=$1,upperdir=upper/$layers,workdir=work/$layers" layer "$root$1"
}

for name in /bin /sbin /lib /lib32 /lib64 /libx32; do
    if [ -L "$name" ]; then cp -a "$name" "$root/"; elif [ -d "$name" ]; then layer "$name"; fi
done
layer /usr
layer /etc
mkdir -p "$root"/{dev,media,mnt,opt,proc,root,run/sshd,run/lock,srv,sys,tmp,var/{cache,lib,log,tmp}}
chmod 1777 "$root/var/tmp"
ln -s /run "$root/var/run"

mount -t proc proc "$root/proc"
mount -t sysfs -o ro sysfs "$root/sys"
mount -t tmpfs -o mode=755 dev "$root/dev"
for name in null zero full random urandom tty; do
    : >"$root/dev/$name"
    mount --bind "/dev/$name" "$root/dev/$name"
done
mkdir "$root/dev/pts" "$root/dev/shm"
mount -t devpts -o newinstance,ptmxmode=0666,mode=620 devpts "$root/dev/pts"
mount -t tmpfs -o mode=1777 shm "$root/dev/shm"
ln -s pts/ptmx "$root/dev/ptmx"
ln -s /proc/self/fd "$root/dev/fd"
ln -s fd/0 "$root/dev/stdin"
ln -s fd/1 "$root/dev/stdout"
ln -s fd/2 "$root/dev/stderr"
mount -t tmpfs -o "$M_TMP_OPTIONS" tmp "$root/tmp"

# Pythons: which prefixes are there, and whose third-party packages are not.
while IFS= read -r path; do
    [ -z "$path" ] || layer "$path"
done <<<"$M_LAYERS"
while IFS= read -r path; do
    [ -z "$path" ] || [ ! -d "$root$path" ] || mount -t tmpfs -o mode=755 empty "$root$path"
done <<<"$M_EMPTY"

mkdir -p "$root$M_HOME"
mount -t tmpfs -o "$M_HOME_OPTIONS" home "$root$M_HOME"
while IFS=$'\t' read -r source target; do
    [ -n "$source" ] || continue
    mkdir -p "$root$target"
    mount --rbind "$root$source" "$root$target"
done <<<"$M_BINDS"
if [ -n "$M_HIDE" ]; then
    mapfile -t hidden <<<"$M_HIDE"
    rm -f -- "${hidden[@]/#/$root}"
fi

head -c "$M_SIZE" | tar -x -p --numeric-owner -C "$root"
if [ -n "$M_HOME_READ_ONLY" ]; then mount -o remount,ro "$root$M_HOME"; fi

printf '%s\n' "$M_NAME" >/proc/sys/kernel/hostname
if [ -n "$M_BRING_UP" ]; then ip link set lo up; fi
cd "$root"
pivot_root . .
umount -l .
cd /

/usr/sbin/sshd -E /var/log/sshd.log
for ((tries = 0; tries < 500; tries++)); do
    [ ! -s /run/sshd.pid ] || break
    sleep 0.01
done
[ -s /run/sshd.pid ] || { cat /var/log/sshd.log; exit 1; }
echo ready
while read -r _; do :; done
