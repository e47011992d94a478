"""The line of ssh between a forge and git: two pipes, and a relay that git takes for ssh.

Written for each fetch into its folder. The worker begins ssh before git, under another
account, so that git never can read the deploy key.
"""

import os
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

from testbed.outside import Address
from testbed.sources.isolation import Accounts
from testbed.sources.places import Place

ALIAS = "testbed-source"
SSH_OPTIONS = (
    "BatchMode=yes",
    "StrictHostKeyChecking=yes",
    "GlobalKnownHostsFile=/dev/null",
    "UpdateHostKeys=no",
    f"HostKeyAlias={ALIAS}",
    "CheckHostIP=no",
    "IdentitiesOnly=yes",
    "IdentityAgent=none",
    "PreferredAuthentications=publickey",
    "ForwardAgent=no",
    "ClearAllForwardings=yes",
    "ConnectTimeout=10",
    "ServerAliveInterval=10",
    "ServerAliveCountMax=2",
    "SendEnv=GIT_PROTOCOL",
)
# git calls this as its ssh; the worker has begun the real one at the other ends.
RELAY = """\
exec 3<&0
cat <&3 >{up} &
exec cat <{down}
"""


@dataclass(frozen=True, slots=True)
class Keys:
    """The private deploy key, and the forge's pinned host key, for ssh."""

    private_key: bytes
    host_key: str


def line_to_server(
    folder: Path, place: Place, address: Address, keys: Keys, accounts: Accounts
) -> list[str]:
    """Write the keys, and the pipes to git; return the command that runs ssh.

    git's account owns the pipes and ssh's group may use them. The private key is that
    group's alone.
    """
    identity, known = folder / "key", folder / "known_hosts"
    identity.touch(mode=0o600)
    identity.write_bytes(keys.private_key)
    known.write_text(f"{ALIAS} {keys.host_key}\n")
    up, down = folder / "up", folder / "down"
    (folder / "relay").write_text(RELAY.format(up=up, down=down))
    for pipe in (up, down):
        os.mkfifo(pipe, mode=0o600)
    if accounts.git and accounts.ssh:
        os.chown(identity, 0, accounts.ssh.gid)
        identity.chmod(0o640)
        for pipe in (up, down):
            os.chown(pipe, accounts.git.uid, accounts.ssh.gid)
            pipe.chmod(0o660)
        for path in (known, folder / "relay"):
            path.chmod(0o644)
    kind = keys.host_key.split()[0]
    kinds = "rsa-sha2-512,rsa-sha2-256" if kind == "ssh-rsa" else kind
    options = (
        *SSH_OPTIONS,
        f"HostName={address}",
        f"Port={place.port}",
        f"HostKeyAlgorithms={kinds}",
        f"UserKnownHostsFile={known}",
        f"IdentityFile={identity}",
    )
    words = ["ssh", "-F", "none", "-a", "-x", "-T"]
    words += [word for option in options for word in ("-o", option)]
    whom = f"{place.user}@{place.host}" if place.user else place.host
    asked = _path_of(place).replace("'", "'\\''")
    words += ["--", whom, f"git-upload-pack '{asked}'"]
    return ["sh", "-c", 'exec "$@" <"$0/up" >"$0/down"', str(folder), *words]


def _path_of(place: Place) -> str:
    """Return the path on the server, as git takes it from an address for ssh."""
    protocol, _, rest = place.url.partition("://")
    if not rest:
        return protocol.partition(":")[2]
    path = "/" + unquote(rest.partition("/")[2])
    return path.removeprefix("/") if path.startswith("/~") else path
