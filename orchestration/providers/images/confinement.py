"""Runs qemu-img on a content that a user or a guest made: without rights, with limits.

QEMU's parsers of image formats have had faults, and some formats name further files.
So root's shell opens the files, and qemu-img reaches these only, by their descriptors,
as a user who owns nothing else: what it reads has to be readable for all. A disk is not:
another process gives its bytes, which it does not understand, through a socket. So an
image that changes after a check, and names another file then, does not open that one
either. A host without util-linux's tools runs it as root.
"""

from orchestration.transport.base import Command, command

SOURCE, TARGET, BASE = "/dev/fd/3", "/dev/fd/4", "/dev/fd/5"
NOBODY = 65534
# Of addresses: converting 400 MiB took 205 MiB of them, with one arena of malloc.
MEMORY_BYTES = 2 * 1024**3
CPU_S = 4 * 3600
FILE_BYTES = 4 * 1024**4
_LIMITS = f"--as={MEMORY_BYTES} --cpu={CPU_S} --fsize={FILE_BYTES} --core=0"
_RIGHTS = f"--reuid={NOBODY} --regid={NOBODY} --clear-groups --no-new-privs "
_NONE = "--bounding-set=-all"
# QEMU's programs open their descriptors anew, which needs the right to read the file.
_READS = "dac_read_search"
_READING = (
    f"--bounding-set=-all,+{_READS} --inh-caps=-all,+{_READS} --ambient-caps=+{_READS}"
)
# Bytes alone: with the format raw it looks at none of them. It ends with its one reader.
_SERVER = (
    "qemu-nbd --read-only --image-opts "
    f"driver=raw,file.driver=file,file.locking=off,file.filename={SOURCE}"
)
# A name in the folder in which the command runs then.
SERVED = "source"
# $1 source, $2 target or nothing, $3 the layer below or nothing, $4 `private` or nothing;
# then the command.
_SCRIPT = f"""\
exec 3<"$1" || exit 1
[ -z "$3" ] || exec 5<"$3" || exit 1
target=$2 private=$4 reads= runs=; shift 4
[ -z "$target" ] || {{ rm -f -- "$target" && umask 077 && exec 4<>"$target"; }} || exit 1
if command -v setpriv >/dev/null && command -v prlimit >/dev/null; then
  [ -z "$target" ] || chown {NOBODY}:{NOBODY} "$target" || exit 1
  export MALLOC_ARENA_MAX=1
  runs="prlimit {_LIMITS} setpriv {_RIGHTS}"
  reads="$runs {_READING}" runs="$runs {_NONE}"
fi
[ -n "$private" ] || exec $runs "$@"
folder=$(mktemp -d) && chmod 711 "$folder" && cd "$folder" || exit 1
server=
leave() {{
  [ -z "$server" ] || kill "$server" 2>/dev/null
  cd / && rm -f "$folder/of/{SERVED}" && rmdir "$folder/of" "$folder"
}}
trap leave EXIT
trap 'exit 143' HUP INT TERM
mkdir -m 700 of && chown {NOBODY}:{NOBODY} of && cd of || exit 1
$reads {_SERVER} --socket "$folder/of/{SERVED}" 4>&- 5>&- &
server=$!
until [ -S {SERVED} ]; do
  kill -0 "$server" && ! grep -q "^State:.Z" "/proc/$server/status" || exit 1
  sleep 0.05
done
exec 3<&-
$runs "$@"
"""


def confined(
    source: str, target: str, *words: str, base: str = "", is_private: bool = False
) -> Command:
    """Build a command that may read `source` and `base`, and write to a new `target`.

    The words name them as SOURCE, BASE and TARGET; target and base may be empty. The
    target belongs to nobody, mode 0600. A source that `is_private` is not readable for
    all: the words name it as SERVED, the path of an NBD server's socket.
    """
    files = (source, target, base, "private" if is_private else "")
    return command("sh", "-c", _SCRIPT, "sh", *files, *words).with_root()
