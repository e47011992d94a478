"""The connections that users have open through a host's jump account: seen and ended.

sshd reads at login which addresses a key opens, and the connection keeps them. Times
are ticks of the host's own clock since its boot: they are exact, and nobody sets that
clock back. jump_account.py is about the logins.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address

from orchestration.errors import NetworkFailed
from orchestration.providers.failures import Failure, run_or_fail
from orchestration.providers.linux.jump_account import ACCOUNT, SSH_PORT
from orchestration.transport.base import Scope, Transport, command

# USER_HZ, the unit of /proc/PID/stat, is 100 on every Linux of today.
TICKS_PER_S = 100
# A connection's process begins after its keys were read: by default sshd ends a login
# that takes longer than LoginGraceTime, 120 s.
LOGIN_TICKS = 600 * TICKS_PER_S
# /proc/PID/stat's PID and begin, of a process that is not a zombie. The name between
# them may hold anything.
_TIMES = r"s/^([0-9]+) \(.*\) [A-WYa-wy]( [0-9-]+){18} ([0-9]+) .*$/\1 \3/p"
# $1 the account, $2 the expression for its times, $3 the port of guests. The clock is
# read first, as the begin of the process that reads it. sshd's processes hide their
# owner, not their status. A process of a container, which has a second number in
# NSpid, may have the account's number as its own account.
_LOOK = """\
uid=$(id -u "$1") || exit 3
echo "boot $(cat /proc/sys/kernel/random/boot_id)"
echo "now $(sed -nE "$2" /proc/self/stat)"
found=$(grep -lsE "^Uid:[[:space:]]$uid[[:space:]]" /proc/[0-9]*/status)
[ "$found" ] || exit 0
found=$(grep -LsE '^NSpid:[[:space:]]+[0-9]+[[:space:]]' $found | sed 's/us$//')
[ "$found" ] || exit 0
sed -snE "$2" $found 2> /dev/null | sed 's/^/session /'
exec ss -H -t -n -p state connected "dport = :$3"
"""
# $1 the account, $2 the expression for its times, then PID:BEGIN. The account itself
# sends the signal: the kernel lets it hit none but its own processes.
_END = """\
uid=$(id -u "$1") && gid=$(id -g "$1") || exit 3
times=$2
shift 2
for one; do
  pid=${one%:*}
  now=$(sed -nE "$times" "/proc/$pid/stat" 2> /dev/null)
  [ "$now" = "$pid ${one#*:}" ] || continue
  setpriv --reuid "$uid" --regid "$gid" --clear-groups \\
    sh -c 'kill -KILL "$1"' kill "$pid" || [ ! -e "/proc/$pid" ] || exit 1
done
"""


@dataclass(frozen=True, slots=True)
class Session:
    """One connection of a user: its process, its begin, and what it is connected to."""

    pid: int
    begin: int
    addresses: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Sessions:
    """The account's connections on a host at `now`; `boot` tells the host's boots."""

    boot: str
    now: int
    all: tuple[Session, ...] = ()

    @property
    def oldest_login(self) -> int:
        """No connection that is or will be open has read its keys before this."""
        return min([self.now, *(one.begin for one in self.all)]) - LOGIN_TICKS

    def older_than(self, seconds: float) -> frozenset[Session]:
        """Return those that are open for that long or longer."""
        last = self.now - seconds * TICKS_PER_S
        return frozenset(one for one in self.all if one.begin <= last)

    def beside(self, allowed: frozenset[str]) -> frozenset[Session]:
        """Return those that are connected to an address that is none of these."""
        return frozenset(one for one in self.all if one.addresses - allowed)

    def beyond(self, most: int) -> frozenset[Session]:
        """Return the youngest of more than so many."""
        by_age = sorted(self.all, key=lambda one: (one.begin, one.pid))
        return frozenset(by_age[most:])


def look(transport: Transport, *, scope: Scope) -> Sessions:
    """Return the account's connections on a host.

    Raises: NetworkFailed (the host does not say them), HostUnreachable.
    """
    words = ("sh", "-c", _LOOK, "jump", ACCOUNT, _TIMES, str(SSH_PORT))
    message = f"{transport.machine} does not say who is connected through {ACCOUNT}."
    failure = Failure(NetworkFailed, message, "See docs/ssh.md.")
    reading = _Reading()
    run_or_fail(
        transport,
        command(*words).with_root(),
        failure,
        scope=scope,
        on_line=lambda _, line: reading.take(line),
    )
    if not reading.boot or not reading.now:
        raise failure.build("It does not tell its time.")
    return reading.result()


def end(transport: Transport, ended: Iterable[Session], *, scope: Scope) -> None:
    """End connections; one that has ended meanwhile is none.

    Raises: NetworkFailed, HostUnreachable.
    """
    which = [f"{one.pid}:{one.begin}" for one in ended]
    message = f"Connections through {ACCOUNT} on {transport.machine} were not ended."
    hint = f"Run `pkill -KILL -u {ACCOUNT}` there, as root."
    kill = command("sh", "-c", _END, "jump", ACCOUNT, _TIMES, *which).with_root()
    run_or_fail(transport, kill, Failure(NetworkFailed, message, hint), scope=scope)


class _Reading:
    """The lines of a look, read one by one: a flood of them takes no memory.

    A result keeps no more than the last mebibyte of them.
    """

    def __init__(self) -> None:
        self.boot = ""
        self.now = 0
        self._begins: dict[int, int] = {}
        self._addresses: dict[int, set[str]] = {}

    def take(self, line: str) -> None:
        """Read a line."""
        match line.split():
            case ["boot", boot]:
                self.boot = boot
            case ["now", _, now]:
                self.now = int(now)
            case ["session", pid, begin]:
                self._begins[int(pid)] = int(begin)
            case [_, _, _, _, peer, users] if users.startswith("users:"):
                for holder in self._begins.keys() & _pids(users):
                    self._addresses.setdefault(holder, set()).add(_address(peer))
            case _:
                pass

    def result(self) -> Sessions:
        """Return all that was read."""
        found = (
            Session(pid, begin, frozenset(self._addresses.get(pid, ())))
            for pid, begin in self._begins.items()
        )
        return Sessions(self.boot, self.now, tuple(found))


def _pids(users: str) -> set[int]:
    """Return the processes of ss's `users:(("sshd",pid=12,fd=7))`."""
    words = users.replace(")", ",").split(",")
    return {int(word[4:]) for word in words if word.startswith("pid=")}


def _address(peer: str) -> str:
    """Return the address of ss's `192.0.2.1:22` or `[::ffff:192.0.2.1]:22`."""
    host = peer.rpartition(":")[0].strip("[]").partition("%")[0]
    address = ip_address(host)
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return str(mapped or address)
