"""Control groups: what a script starts stays in one, whatever it does to its mark.

A daemon that rewrites its environment (redis, nginx, all that use setproctitle) loses
the mark, and one that also left its parents is no kin any more. It cannot leave a
control group without root's will, and the kernel removes a group only when no process
is in it, which is the proof. Needs cgroup v2, alone or beside v1, and root; elsewhere
a command runs without a group. Entering takes 12 ms: worth it for a user's script, not
for the many short commands, so `Command.grouped` asks for it.
"""

import contextlib
from collections.abc import Iterable
from pathlib import Path

# Where cgroup v2 is mounted: alone, and beside v1.
TOPS = (Path("/sys/fs/cgroup"), Path("/sys/fs/cgroup/unified"))
FOLDER = "testbed"
_TOPS = " ".join(map(str, TOPS))
# Kernels before 5.14 have no cgroup.kill: a frozen group cannot fork ahead of KILL.
KILL, FREEZE = "cgroup.kill", "cgroup.freeze"

# $1 is the tag; the command's words follow. The shell itself stays outside, to remove
# the group of a command that left nothing.
_ENTER = f"""\
tag=$1 group=; shift
for top in {_TOPS}; do
  [ -e $top/cgroup.controllers ] && group=$top/{FOLDER}/$tag
done
[ "$group" ] && mkdir -p "$group" 2>/dev/null || exec "$@"
sh -c '{{ echo $$ >"$0/cgroup.procs" || rmdir "$0"; }} 2>/dev/null; exec "$@"' \\
  "$group" "$@"
code=$?
rmdir "$group" 2>/dev/null
exit $code
"""

# For the ending script, whose $tag is also a pattern of the shell. `seen` are the
# groups of any scan; without one nothing is started. A member whose pid reads 0 is
# outside this container.
END_FUNCTIONS = f"""\
find_groups() {{
  groups=
  for top in {_TOPS}; do
    for g in $top/{FOLDER}/$tag $top/{FOLDER}/$tag.*; do
      [ -d $g ] && groups="$groups $g"
    done
  done
  seen="$seen$groups"
}}
members() {{
  find $groups -name cgroup.procs -exec cat {{}} \\; 2>/dev/null | grep -v '^0$'
}}
kill_groups() {{
  for g in $groups; do
    echo 1 >$g/{KILL} || echo 1 >$g/{FREEZE}
  done 2>/dev/null
}}
remove_groups() {{
  find_groups
  [ "$seen" ] || return
  [ ! "$groups" ] || find $groups -depth -type d -exec rmdir {{}} \\; 2>/dev/null
  find_groups
  echo "groups$groups"
}}
"""


def entering(tag: str) -> list[str]:
    """Return the words before a command's own that put it into the tag's group."""
    return ["sh", "-c", _ENTER, "sh", tag]


def find_groups(prefix: str) -> set[Path]:
    """Return this machine's groups of a tag and of the tags below it."""
    found = (top / FOLDER for top in TOPS)
    patterns = (prefix, f"{prefix}.*")
    return {path for top in found for pattern in patterns for path in top.glob(pattern)}


def members(groups: Iterable[Path]) -> set[int]:
    """Return the pids in the groups and below them, but those outside a container."""
    files = [file for group in groups for file in group.rglob("cgroup.procs")]
    return {int(pid) for file in files for pid in _read(file).split()} - {0}


def kill(groups: Iterable[Path]) -> None:
    """Send KILL to all members at once, or keep them from forking."""
    for group in groups:
        try:
            (group / KILL).write_text("1")
        except OSError:
            with contextlib.suppress(OSError):
                (group / FREEZE).write_text("1")


def remove(groups: Iterable[Path]) -> bool:
    """Remove the groups; return whether none is left: no process is in them then."""
    groups = list(groups)
    for group in groups:
        below = [path for path in group.rglob("*") if path.is_dir()]
        for path in (*reversed(below), group):
            with contextlib.suppress(OSError):
                path.rmdir()
    return not any(group.exists() for group in groups)


def _read(file: Path) -> str:
    try:
        return file.read_text()
    except OSError:
        return ""
