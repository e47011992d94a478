"""The commands of tcpdump: compile a filter, and capture with the least rights.

The filter is one word of an argument vector, after `--`. tcpdump opens the device as
root and goes on as another user, which reads nothing and parses nothing: packets go to
the standard output as they are.
"""

from orchestration.errors import CommandFailed, ExecutionRefused
from orchestration.transport.base import Command, Scope, Transport, command

# The package's own account on Debian and its kin.
ACCOUNT, OTHER_ACCOUNT = "tcpdump", "nobody"
BUFFER_KIB = 8192
_NOT_FOUND = 127
_INSTALL = "Install tcpdump there: apt-get install tcpdump"


def check_filter(transport: Transport, text: str, *, scope: Scope) -> None:
    """Compile a filter as tcpdump will.

    Raises: ExecutionRefused (it is none), CommandFailed (there is no tcpdump).
    """
    words = ("-y", "EN10MB", "-d", "--", *_words(text))
    done = transport.run(command("tcpdump", *words), scope=scope, check=False)
    if done.exit_code == _NOT_FOUND:
        raise CommandFailed(
            f"Packets cannot be captured on {transport.machine}: it has no tcpdump.",
            exit_code=_NOT_FOUND,
            hint=_INSTALL,
        )
    if done.exit_code != 0:
        raise ExecutionRefused(
            f"`{text}` is no filter that tcpdump can compile.",
            hint="See pcap-filter(7), or leave it empty.",
            detail=done.stderr,
        )


def account(transport: Transport, *, scope: Scope) -> str:
    """Return the user as which tcpdump goes on once the device is open."""
    done = transport.run(command("id", "-u", ACCOUNT), scope=scope, check=False)
    return ACCOUNT if done.exit_code == 0 else OTHER_ACCOUNT


def capture(device: str, text: str, *, snaplen: int, user: str) -> Command:
    """Build the command that writes the packets of a device to its standard output."""
    options = ("-i", device, "-n", "-p", "-U", "-w", "-", "-s", str(snaplen))
    limits = ("-B", str(BUFFER_KIB), "--immediate-mode", "-Z", user)
    return command("tcpdump", *options, *limits, "--", *_words(text)).with_root()


def _words(text: str) -> tuple[str, ...]:
    return (text,) if text.strip() else ()
