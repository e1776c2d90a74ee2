# Look at a host: run as `sh -s -- DIGEST PYTHON < probe.sh`, in any POSIX shell, changing nothing
# but ~/.rh. Prints `key=value` lines between two marks; a value ends with its line.
#
# Programs are started only where the shell cannot do it itself: each start costs a millisecond.
# All is in functions, so that the shell has read the whole of its standard input before it begins.

say() { printf '%s=%s\n' "$1" "$2"; }
have() { command -v "$1" >/dev/null 2>&1; }

# Print the first line of a file.
first_line() {
  IFS= read -r line <"$1" || [ -n "$line" ] && printf '%s' "$line"
}

look_at_system() {
  # Alike on every system: kernel, name, machine; a name has no spaces.
  set -- $(uname -s -n -m)
  say kernel "$1"
  hostname=$2
  say hostname "$hostname"
  say machine "$3"
  say libc "$(look_at_libc)"
  say home "$HOME"
  say uid "$(id -u)"
}

look_at_libc() {
  glibc= musl=
  for loader in /lib/ld-linux* /lib64/ld-linux* /lib/*/ld-linux* /lib64/ld64.so*; do
    [ -e "$loader" ] && glibc=yes && break
  done
  for loader in /lib/ld-musl-*; do [ -e "$loader" ] && musl=yes && break; done
  case $glibc,$musl in
    yes,yes) getconf GNU_LIBC_VERSION >/dev/null 2>&1 && echo glibc || echo musl ;;
    yes,*) echo glibc ;;
    *,yes) echo musl ;;
    *) echo unknown ;;
  esac
}

# Really write: as root, and on some network drives, permissions do not tell.
look_at_home() {
  trial=$rh/.probe.$$
  error=$({
    [ -d "$rh" ] || (umask 077 && mkdir -p "$rh")
    (umask 077 && printf 'x\n' >"$trial")
  } 2>&1)
  if [ -s "$trial" ]; then
    say writable yes
  elif [ -e "$trial" ]; then
    say writable full
  else
    case $error in
      *space* | *quota*) say writable full ;;
      *) say writable no ;;
    esac
  fi
  [ -e "$trial" ] && rm -f "$trial"
  say write_error "${error%%"$newline"*}"
  df -Pk "$HOME" 2>/dev/null | {
    IFS= read -r heading
    read -r device blocks used free rest
    say free_kib "$free"
  }
}

look_at_tools() {
  for tool in rsync tar uv; do have "$tool" && say "$tool" "$(command -v "$tool")"; done
}

# Tells version, state and path. Understood by Python 2 as well. Modules in C are really loaded, as
# a library may be missing; of the others the file is enough, as loading takes 50 ms and more.
check='
import sys
state = "old"
if sys.version_info >= (3, 10):
    sys.path[:] = [place for place in sys.path if place]
    state = "ok"
    try:
        import _ctypes, _socket, fcntl, select, zlib
        from importlib.machinery import PathFinder
        for name in ("asyncio", "ctypes", "hashlib", "json", "socket"):
            if PathFinder.find_spec(name) is None:
                raise ImportError("no module " + name)
    except ImportError as error:
        state = "incomplete: " + str(error).splitlines()[0]
version = "%d.%d.%d" % sys.version_info[:3]
sys.stdout.write("rh|%s|%s|%s|\n" % (version, state, sys.executable or ""))
'

# Try one interpreter: succeed when it can be used, and tell what it is in any case.
try() {
  [ -x "$1" ] && [ ! -d "$1" ] || return 1
  answer=$($limit "$1" -E -s -S -c "$check" </dev/null 2>/dev/null)
  case $answer in
    *'rh|'*'|'*'|'*'|'*) answer=${answer##*"rh|"} ;;
    *) say tried "$1 (does not run)" && return 1 ;;
  esac
  version=${answer%%"|"*}
  answer=${answer#*"|"}
  state=${answer%%"|"*}
  answer=${answer#*"|"}
  case $state in
    ok) ;;
    old) say tried "$1 ($version)" && return 1 ;;
    *) say tried "$1 ($version, $state)" && return 1 ;;
  esac
  say tried "$1 ($version)"
  path=${answer%%"|"*}
  say python "${path:-$1}"
  say python_version "$version"
}

names='python3 python python3.15 python3.14 python3.13 python3.12 python3.11 python3.10'
search() {
  old_ifs=$IFS
  set -f
  IFS=:
  set -- $PATH
  IFS=$old_ifs
  set +f
  for place in "$@"; do
    for name in $names; do try "${place:-.}/$name" && return; done
  done
  for place in \
    "$HOME"/.local/bin "$HOME"/.rh/python/*/bin "$HOME"/.local/share/uv/python/*/bin \
    "$HOME"/.pyenv/versions/*/bin "$HOME"/.asdf/installs/python/*/bin \
    "$HOME"/.local/share/mise/installs/python/*/bin "$HOME"/miniconda3/bin \
    "$HOME"/anaconda3/bin "$HOME"/miniforge3/bin "$HOME"/mambaforge/bin "$HOME"/micromamba/bin \
    /usr/local/bin /usr/bin /opt/conda/bin /opt/miniconda3/bin /opt/*/bin /opt/python/*/bin \
    /usr/local/python*/bin /usr/local/*/bin /home/linuxbrew/.linuxbrew/bin; do
    case :$PATH: in *:"$place":*) continue ;; esac
    [ -d "$place" ] || continue
    for name in $names; do
      case $name in python) continue ;; esac
      try "$place/$name" && return
    done
  done
}

look_for_python() {
  # A program that hangs must not hang us. Old busybox has another way of saying how long.
  limit=
  timeout -s KILL 5 uname >/dev/null 2>&1 && limit='timeout -s KILL 5'
  case $1 in
    '') search ;;
    '~/'*) try "$HOME/${1#'~/'}" ;;
    */*) try "$1" ;;
    *) try "$(command -v "$1")" ;;
  esac
}

# A server that was killed leaves its file, and its number may be another process's by now.
look_at_server() {
  server=$rh/hosts/$hostname
  [ -r "$server/server.json" ] || return
  answer=$(first_line "$server/server.json")
  say server "$answer"
  [ -r "$server/token" ] && say token "$(first_line "$server/token")"
  pid=${answer#*'"pid": '}
  pid=${pid%%[!0-9]*}
  [ -n "$pid" ] && grep -qs runhouse "/proc/$pid/cmdline" && say alive yes
}

main() {
  unset CDPATH
  export LC_ALL=C
  newline='
'
  rh=$HOME/.rh
  printf '\n--- runhouse probe begin ---\n'
  look_at_system
  look_at_home
  look_at_tools
  look_for_python "$2"
  [ -e "$rh/runtime/$1/.complete" ] && say runtime yes
  look_at_server
  printf -- '--- runhouse probe end ---\n'
}

main "$@"
