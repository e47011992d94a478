"""Keeps the testbeds' firewall of a host: one nftables table, written whole.

The table is the host's, not a testbed's: `up` of any testbed ensures it, and none
removes it. Two empty chains carry digests in their names: of the wanted text, and of
the table as nft listed it when it was written. So a look needs one command, whatever
form nft gives to the rules, and finds every rule that was added, changed or removed.
"""

import re
from dataclasses import dataclass
from hashlib import sha256

from orchestration.errors import NetworkFailed
from orchestration.providers.failures import Failure, run_or_fail
from orchestration.providers.linux.ruleset import TABLE, Ruleset
from orchestration.state.model import HostNetwork
from orchestration.transport.base import Command, Scope, Transport, command

HINT = (
    "Install nftables there, or let an administrator switch the firewall off for this "
    "host (docs/hosts.md, Firewall)."
)
_TABLE = re.compile(r"^table (bridge \S+) \{\n.*?^\}\n", re.MULTILINE | re.DOTALL)
_WANTED = re.compile(r"^\tchain wanted_([0-9a-f]+) \{\n", re.MULTILINE)
_LISTED = re.compile(r"\n?\tchain listed_([0-9a-f]+) \{\n\t\}\n")


@dataclass(frozen=True, slots=True)
class Firewall:
    """A host's table as found: the digest of its text, and whether it is unchanged."""

    digest: str
    is_intact: bool


def observe(
    transport: Transport, table: str = TABLE, *, scope: Scope
) -> Firewall | None:
    """Return the firewall that the host has; None where there is none.

    Raises: HostUnreachable.
    """
    listed = transport.run(_list(table), scope=scope, check=False)
    if listed.exit_code != 0:
        return None
    return _read(listed.stdout)


def tables(transport: Transport, *, scope: Scope) -> dict[str, Firewall]:
    """Return the testbeds' own tables on a host by name. Raises: HostUnreachable."""
    cmd = command("nft", "--stateless", "list", "ruleset", "bridge").with_root()
    listed = transport.run(cmd, scope=scope, check=False).stdout
    return {found[1]: _read(found[0]) for found in _TABLE.finditer(listed)}


def _read(listed: str) -> Firewall:
    wanted, seal = _WANTED.search(listed), _LISTED.search(listed)
    is_intact = seal is not None and seal[1] == _digest(listed)
    return Firewall(wanted[1] if wanted else "", is_intact)


def ensure(transport: Transport, ruleset: Ruleset, *, scope: Scope) -> bool:
    """Give the host exactly this table; False when it has it. Raises: NetworkFailed."""
    table = ruleset.table
    found = observe(transport, table, scope=scope)
    if found == Firewall(ruleset.digest, is_intact=True):
        return False
    anew = f"add table {table}\ndelete table {table}\n{ruleset.text}"
    _nft(transport, anew, scope=scope)
    written = run_or_fail(transport, _list(table), _failure(transport), scope=scope)
    seal = f"add chain {table} listed_{_digest(written.stdout)}\n"
    _nft(transport, seal, scope=scope)
    return True


def delete(transport: Transport, table: str, *, scope: Scope) -> None:
    """Remove a table; nothing happens where there is none, or no nftables."""
    cmd = command("nft", "delete", "table", *table.split()).with_root()
    transport.run(cmd, scope=scope, check=False)


def problem(host: str, network: HostNetwork) -> tuple[str, str]:
    """Return why no firewall can be made on a host, and a hint; empty when one can."""
    if not network.lacks_nftables:
        return "", ""
    return f"nftables does not work on {host}: `up` will fail.", HINT


def _list(table: str) -> Command:
    return command("nft", "--stateless", "list", "table", *table.split()).with_root()


def _nft(transport: Transport, text: str, *, scope: Scope) -> None:
    cmd = command("nft", "-f", "-", stdin=text.encode()).with_root()
    run_or_fail(transport, cmd, _failure(transport), scope=scope)


def _failure(transport: Transport) -> Failure:
    return Failure(
        NetworkFailed,
        f"The firewall of {transport.machine} could not be made; without it guests "
        "reach the host's own services.",
        HINT,
    )


def _digest(listed: str) -> str:
    return sha256(_LISTED.sub("", listed).encode()).hexdigest()[:16]
