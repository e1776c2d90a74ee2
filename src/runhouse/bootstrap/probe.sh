# Look at a host: run as `sh -s -- DIGEST PYTHON < probe.sh`, in any POSIX shell, changing nothing
# but ~/.rh. Prints `key=value` lines between two marks; a value ends with its line.
digest=$1
wanted=$2
unset CDPATH
say() { printf '%s=%s\n' "$1" "$2"; }
have() { command -v "$1" >/dev/null 2>&1; }

printf '\n--- runhouse probe begin ---\n'
say kernel "$(uname -s)"
say machine "$(uname -m)"
say hostname "$(uname -n)"
say home "$HOME"
say uid "$(id -u)"

libc=glibc
for loader in /lib/ld-musl-*; do [ -e "$loader" ] && libc=musl; done
say libc "$libc"

rh=$HOME/.rh
if (umask 077 && mkdir -p "$rh" && : >"$rh/.probe.$$" && printf x >"$rh/.probe.$$") 2>/dev/null; then
  [ -s "$rh/.probe.$$" ] && say writable yes || say writable full
else
  (umask 077 && mkdir -p "$rh" && : >"$rh/.probe.$$") 2>/dev/null && say writable full || say writable no
fi
rm -f "$rh/.probe.$$" 2>/dev/null
say free_kib "$(df -Pk "$HOME" 2>/dev/null | awk 'NR == 2 { print $4 }')"
for tool in rsync uv; do have "$tool" && say "$tool" "$(command -v "$tool")"; done

# The first Python of version 3.10 or newer; every interpreter that was tried is told.
check='import json, socket, asyncio.base_events, hashlib, zlib, select, sys
print("%d.%d.%d" % sys.version_info[:3], sys.executable)'
limit=
have timeout && limit='timeout 5'
try() {
  [ -x "$1" ] && [ ! -d "$1" ] || return 1
  found=$($limit "$1" -I -S -c 'import sys; print("%d.%d.%d" % sys.version_info[:3])' </dev/null 2>/dev/null) || return 1
  say tried "$1 ($found)"
  case $found in 3.1[0-9].* | 3.[2-9][0-9].* | [4-9].*) ;; *) return 1 ;; esac
  found=$($limit "$1" -I -S -c "$check" </dev/null 2>/dev/null) || return 1
  say python "${found#* }"
  say python_version "${found%% *}"
}
search() {
  names='python3 python python3.15 python3.14 python3.13 python3.12 python3.11 python3.10'
  save=$IFS
  IFS=:
  for place in $PATH; do
    IFS=$save
    for name in $names; do try "${place:-.}/$name" && return; done
  done
  IFS=$save
  for place in "$HOME"/.local/bin "$HOME"/.pyenv/versions/*/bin "$HOME"/miniconda3/bin \
    "$HOME"/anaconda3/bin "$HOME"/miniforge3/bin "$HOME"/mambaforge/bin "$HOME"/micromamba/bin \
    "$HOME"/.local/share/uv/python/*/bin "$HOME"/.rh/python/*/bin /usr/local/bin /usr/bin \
    /opt/conda/bin /opt/miniconda3/bin /opt/*/bin /usr/local/python*/bin; do
    for name in $names; do try "$place/$name" && return; done
  done
}
if [ -n "$wanted" ]; then
  case $wanted in
    '~/'*) wanted=$HOME/${wanted#'~/'} ;;
    */*) ;;
    *) wanted=$(command -v "$wanted" || printf %s "$wanted") ;;
  esac
  try "$wanted"
else
  search
fi

[ -e "$rh/runtime/$digest/.complete" ] && say runtime yes
server="$rh/hosts/$(uname -n)"
if [ -r "$server/server.json" ]; then
  say server "$(head -n 1 "$server/server.json")"
  say token "$(cat "$server/token" 2>/dev/null)"
  pid=$(sed -n '1s/^{"pid": \([0-9]*\),.*/\1/p' "$server/server.json")
  [ -n "$pid" ] && kill -0 "$pid" 2>/dev/null && say alive yes
fi
printf -- '--- runhouse probe end ---\n'
