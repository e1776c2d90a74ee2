# Become a host: run by bash as process 1 of namespaces of its own, when an instance boots.
#
# H_DISK is what stays when it is stopped: upper/ and work/ of the layers, and data/.
set -euo pipefail
umask 022
root=$H_DISK/root

mkdir -p "$root"
mount -t tmpfs -o mode=755 root "$root"

# Show a directory of the outside; what is written there goes to the host's disk.
layer() {
    mkdir -p "$H_DISK/upper/$2" "$H_DISK/work/$2" "$root/$2"
    mount -t overlay -o "lowerdir=$1,upperdir=$H_DISK/upper/$2,workdir=$H_DISK/work/$2" layer "$root/$2"
}
for name in bin sbin lib lib32 lib64 libx32; do
    if [ -L "/$name" ]; then cp -a "/$name" "$root/"; elif [ -d "/$name" ]; then layer "/$name" "$name"; fi
done
layer /usr usr
layer /etc etc
layer "$H_IMAGE" "home/$H_USER"
for name in opt root srv tmp var; do
    mkdir -p "$H_DISK/data/$name" "$root/$name"
    mount --bind "$H_DISK/data/$name" "$root/$name"
done
mkdir -p "$root"/{dev,media,mnt,proc,run,sys} "$root"/var/{cache,lib/dpkg,log,spool,tmp}
chmod 1777 "$root/tmp" "$root/var/tmp"
ln -sfn /run "$root/var/run"
[ -e "$root/var/lib/dpkg/status" ] || cp /var/lib/dpkg/status "$root/var/lib/dpkg/" 2>/dev/null || true

# The Python that the machine image was made with.
python=$H_PYTHON/bin/python3
case $H_PYTHON in
    /usr | /usr/local) ;;
    *)
        mkdir -p "$root$H_PYTHON"
        mount --bind "$H_PYTHON" "$root$H_PYTHON"
        mount -o remount,ro,bind "$root$H_PYTHON"
        ln -sf "$python" "$root/usr/local/bin/python3"
        ;;
esac

mount -t tmpfs -o mode=755 run "$root/run"
mkdir "$root"/run/{lock,sshd}
mount -t proc proc "$root/proc"
mount -t sysfs -o ro sysfs "$root/sys"
mount -t tmpfs -o mode=755 dev "$root/dev"
for name in null zero full random urandom tty; do
    : >"$root/dev/$name"
    mount --bind "/dev/$name" "$root/dev/$name"
done
mkdir "$root"/dev/{pts,shm}
mount -t devpts -o newinstance,ptmxmode=0666,mode=620 devpts "$root/dev/pts"
mount -t tmpfs -o mode=1777 shm "$root/dev/shm"
ln -s pts/ptmx "$root/dev/ptmx"
ln -s /proc/self/fd "$root/dev/fd"
ln -s fd/0 "$root/dev/stdin"
ln -s fd/1 "$root/dev/stdout"
ln -s fd/2 "$root/dev/stderr"

printf '%s\n' "$H_NAME" >/proc/sys/kernel/hostname
ip link set lo up
ip address add 169.254.169.254/32 dev lo
for ((tries = 0; tries < 1000; tries++)); do
    ! ip link show eth0 >/dev/null 2>&1 || break
    sleep 0.01
done
ip address add "$H_IP/16" dev eth0
ip link set eth0 up

cd "$root"
pivot_root . .
umount -l .
cd /

[ -f /etc/ssh/ssh_host_ed25519_key ] || ssh-keygen -q -t ed25519 -N '' -f /etc/ssh/ssh_host_ed25519_key
"$python" -I /etc/metadata.py /etc/metadata.json 2>/var/log/metadata.log &
for ((tries = 0; tries < 500; tries++)); do
    ! (: </dev/tcp/169.254.169.254/80) 2>/dev/null || break
    sleep 0.02
done
/usr/sbin/sshd -E /var/log/sshd.log
echo ready
# Whatever is left without a parent ends up here.
while :; do
    sleep 3600 &
    wait $!
done
