"""The account on a host through which users' own SSH clients reach guests.

It forwards connections to port 22 of guests and does nothing else: no shell,
no command, no terminal, no agent, no listening. Two locks hold that: sshd's block for
the account, which an administrator lets us set up once, and the options of each line
of its keys, which name the guests that the key's owner may reach.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256

from orchestration.errors import NetworkFailed
from orchestration.providers.failures import Failure, run_or_fail
from orchestration.transport.base import Scope, Transport, command

ACCOUNT = "testbed-jump"
FOLDER = f"/var/lib/{ACCOUNT}"
KEYS_FILE = f"{FOLDER}/authorized_keys"
CONFIG_FILE = f"/etc/ssh/sshd_config.d/60-{ACCOUNT}.conf"
HOST_KEY_FILE = "/etc/ssh/ssh_host_ed25519_key.pub"
SSH_PORT = 22
# Not nologin: a minimal Debian 13 has none, and sshd lets no account in whose shell is
# missing.
NO_SHELL = "/bin/false"
# Of one key: OpenSSH's SSH_AUTHOPT_PERMIT_MAX; it refuses a line with more.
MOST_GUESTS = 4096
# A client that is silent for two minutes is gone.
ALIVE_S = 30
ALIVE_COUNT = 4
# sshd reads the keys as the account itself.
KEYS_MODE = 0o644
SSHD_CONFIG = f"""\
# Written by the testbed (docs/ssh.md): the account forwards to guests and does no more.
Match User {ACCOUNT}
  AuthenticationMethods publickey
  PubkeyAuthentication yes
  PasswordAuthentication no
  KbdInteractiveAuthentication no
  AuthorizedKeysFile {KEYS_FILE}
  AuthorizedKeysCommand none
  TrustedUserCAKeys none
  DisableForwarding no
  AllowTcpForwarding local
  PermitOpen *:{SSH_PORT}
  PermitListen none
  AllowStreamLocalForwarding no
  AllowAgentForwarding no
  X11Forwarding no
  PermitTunnel no
  GatewayPorts no
  PermitTTY no
  PermitUserRC no
  MaxSessions 0
  ClientAliveInterval {ALIVE_S}
  ClientAliveCountMax {ALIVE_COUNT}
  ForceCommand {NO_SHELL}
Match all
"""
# The lines of `sshd -T` for the account that make both locks hold.
_NEEDED = frozenset(
    {
        f"authorizedkeysfile {KEYS_FILE}",
        "authorizedkeyscommand none",
        "trustedusercakeys none",
        "authenticationmethods publickey",
        "allowtcpforwarding local",
        f"permitopen *:{SSH_PORT}",
        "allowstreamlocalforwarding no",
        "allowagentforwarding no",
        "permittty no",
        "permittunnel no",
        "maxsessions 0",
        f"clientaliveinterval {ALIVE_S}",
        f"clientalivecountmax {ALIVE_COUNT}",
        f"forcecommand {NO_SHELL}",
    }
)
# Where sshd has such a list, it has to name the account, or its group of that name.
_LISTS = ("allowusers", "allowgroups")
# $1 the account, $2 its folder, $3 the file for sshd, $4 its shell; stdin is the file's
# text. A password of `*` fits nobody, and unlike `!` is no locked account for an sshd
# without PAM.
_SET_UP = """\
set -eu
umask 022
if id "$1" > /dev/null 2>&1; then
  usermod --shell "$4" --password '*' "$1"
else
  useradd --system --user-group --no-create-home --home-dir /nonexistent \\
    --shell "$4" --password '*' "$1"
fi
mkdir -p "$2"
chown root:root "$2"
chmod 755 "$2"
[ -e "$2/authorized_keys" ] || : > "$2/authorized_keys"
mkdir -p "$(dirname "$3")"
cat > "$3.new"
if cmp -s "$3.new" "$3"; then
  rm -f "$3.new"
  exit 0
fi
had=
[ ! -e "$3" ] || { had=1; cp "$3" "$3.old"; }
mv "$3.new" "$3"
if ! sshd=$(command -v sshd || echo /usr/sbin/sshd) || ! "$sshd" -t; then
  if [ "$had" ]; then mv "$3.old" "$3"; else rm -f "$3"; fi
  exit 1
fi
rm -f "$3.old"
if [ -s /run/sshd.pid ]; then
  kill -HUP "$(cat /run/sshd.pid)"
elif [ -d /run/systemd/system ]; then
  systemctl try-reload-or-restart ssh.service
fi
"""
_LOOK = """\
id "$1" > /dev/null 2>&1 || exit 3
[ -x "$(getent passwd "$1" | cut -d: -f7)" ] || exit 4
exec "$(command -v sshd || echo /usr/sbin/sshd)" -T -C "user=$1,host=client,addr=192.0.2.1"
"""
_ABSENT = 3
_WITHOUT_SHELL = 4


@dataclass(frozen=True, slots=True)
class JumpAccount:
    """The account as found: `problem` says why it does not hold or does not work."""

    is_there: bool = False
    problem: str = ""

    @property
    def works(self) -> bool:
        """Return whether users may be sent through it."""
        return self.is_there and not self.problem


def set_up(transport: Transport, *, scope: Scope) -> None:
    """Make the account and its block in sshd's configuration; again does nothing.

    An sshd that would not read the block keeps the configuration that it had. Raises:
    NetworkFailed, HostUnreachable.
    """
    words = ("sh", "-c", _SET_UP, "jump", ACCOUNT, FOLDER, CONFIG_FILE, NO_SHELL)
    make = command(*words, stdin=SSHD_CONFIG.encode()).with_root()
    message = f"The account {ACCOUNT} could not be set up on {transport.machine}."
    hint = "Run this as root, not in the worker's unit; see docs/ssh.md."
    failure = Failure(NetworkFailed, message, hint)
    run_or_fail(transport, make, failure, scope=scope)


def look(transport: Transport, *, scope: Scope) -> JumpAccount:
    """Compare the account and sshd's settings for it with those that hold it.

    Raises: HostUnreachable.
    """
    ask = command("sh", "-c", _LOOK, "jump", ACCOUNT).with_root()
    said = transport.run(ask, scope=scope, check=False)
    if said.exit_code == _ABSENT:
        return JumpAccount()
    if said.exit_code == _WITHOUT_SHELL:
        problem = (
            f"sshd on {transport.machine} refuses {ACCOUNT}: the account's shell is "
            "missing there. Set it up again with `check_hosts --set-up-jump`."
        )
        return JumpAccount(is_there=True, problem=problem)
    if said.exit_code != 0:
        problem = f"sshd on {transport.machine} does not say its settings."
        return JumpAccount(is_there=True, problem=problem)
    settings = {line.strip().lower() for line in said.stdout.splitlines()}
    lists = {line.split()[0] for line in settings if line.startswith(_LISTS)}
    missing = sorted((_NEEDED | {f"{name} {ACCOUNT}" for name in lists}) - settings)
    if not missing:
        return JumpAccount(is_there=True)
    problem = (
        f"sshd on {transport.machine} has other settings for {ACCOUNT}: "
        f"{', '.join(missing)} is missing. Its sshd_config has to include "
        f"{CONFIG_FILE}, and nothing before that may set them. `check_hosts "
        "--set-up-jump` writes that file anew."
    )
    return JumpAccount(is_there=True, problem=problem)


def host_key(transport: Transport, *, scope: Scope) -> str:
    """Return a host's own public key, or nothing. Raises: HostUnreachable."""
    said = transport.run(command("cat", HOST_KEY_FILE), scope=scope, check=False)
    return " ".join(said.stdout.split()[:2]) if said.exit_code == 0 else ""


def build_keys(allowed: Mapping[str, frozenset[str]]) -> bytes:
    """Write the account's keys; `allowed` has the guests' addresses by `type key`."""
    lines = []
    for key in sorted(allowed):
        addresses = sorted(allowed[key])[:MOST_GUESTS]
        opens = ",".join(f'permitopen="{one}:{SSH_PORT}"' for one in addresses)
        if opens:
            lines.append(f"restrict,port-forwarding,{opens} {key}\n")
    return "".join(lines).encode()


def ensure_keys(transport: Transport, content: bytes, *, scope: Scope) -> bool:
    """Give the account exactly these keys; False when it has them.

    Raises: CommandFailed, NotEnoughSpace, HostUnreachable.
    """
    look_at = command("sha256sum", KEYS_FILE).with_root()
    found = transport.run(look_at, scope=scope, check=False)
    if found.stdout.split()[:1] == [sha256(content).hexdigest()]:
        return False
    transport.put(content, KEYS_FILE, scope=scope, mode=KEYS_MODE, as_root=True)
    return True
