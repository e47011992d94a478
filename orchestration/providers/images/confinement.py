"""Runs qemu-img on a content that a user or a guest made: without rights, with limits.

QEMU's parsers of image formats have had faults, and some formats name further files.
So root's shell opens the files, and qemu-img reaches these only, by their descriptors,
as a user who owns nothing else: what it reads has to be readable for all. A host
without util-linux's tools runs it as root.
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
# qemu-img opens its descriptors anew, which needs the right to read the file.
_READS = "dac_read_search"
_READING = (
    f"--bounding-set=-all,+{_READS} --inh-caps=-all,+{_READS} --ambient-caps=+{_READS}"
)
# $1 source, $2 target or nothing, $3 the layer below or nothing, $4 the capabilities;
# then the command.
_SCRIPT = f"""\
exec 3<"$1" || exit 1
[ -z "$3" ] || exec 5<"$3" || exit 1
target=$2 capabilities=$4; shift 4
[ -z "$target" ] || {{ rm -f -- "$target" && umask 077 && exec 4<>"$target"; }} || exit 1
if command -v setpriv >/dev/null && command -v prlimit >/dev/null; then
  [ -z "$target" ] || chown {NOBODY}:{NOBODY} "$target" || exit 1
  export MALLOC_ARENA_MAX=1
  exec prlimit {_LIMITS} setpriv {_RIGHTS} $capabilities "$@"
fi
exec "$@"
"""


def confined(
    source: str, target: str, *words: str, base: str = "", is_private: bool = False
) -> Command:
    """Build a command that may read `source` and `base`, and write to a new `target`.

    The source is readable for all, or `is_private`: the command may then read any file,
    and its words have to name all that it opens.
    The words name them as SOURCE, BASE and TARGET; target and base may be empty. The
    target belongs to nobody, mode 0600.
    """
    files = (source, target, base, _READING if is_private else _NONE)
    return command("sh", "-c", _SCRIPT, "sh", *files, *words).with_root()
