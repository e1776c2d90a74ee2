# Give a user's machine the files that it has of its own: its home directory and /tmp.
#
# BOX_HOME: the home directory; BOX_DISK: a file system in memory; BOX_SHOWN: what is to be seen at
# its own place although it is in there, one path on a line.

# Put aside what is covered later, for this machine and those that begin beside it.
keep_originals() {
    local path number=0
    mkdir -p "$BOX_DISK/original/home"
    mount --bind "$BOX_HOME" "$BOX_DISK/original/home"
    while IFS= read -r path; do
        [ -n "$path" ] || continue
        number=$((number + 1))
        mkdir -p "$BOX_DISK/original/$number"
        mount --bind "$path" "$BOX_DISK/original/$number"
    done <<<"$BOX_SHOWN"
}

# Cover the home directory by a layer of the machine's own, which is made first, and /tmp.
cover() {
    local folder=$1 path number=0
    mkdir -p "$folder"/{home,work,tmp}
    chmod 1777 "$folder/tmp"
    "$BOX_PYTHON" -m tests.rigs.cloudbox.home "$folder/home"
    mount -t overlay -o "lowerdir=$BOX_DISK/original/home,upperdir=$folder/home,workdir=$folder/work" \
        home "$BOX_HOME"
    mount --bind "$folder/tmp" /tmp
    while IFS= read -r path; do
        [ -n "$path" ] || continue
        number=$((number + 1))
        mkdir -p "$path"
        mount --bind "$BOX_DISK/original/$number" "$path"
    done <<<"$BOX_SHOWN"
    cd "$BOX_PROJECT" # where it is now
}
