"""Access to Open vSwitch's database: `ovs-vsctl`, its JSON rows, its errors.

`bridges.py` asks for several tables in one call; each comes as one line of JSON in the
notation of the database (RFC 7047: sets, maps and uuids are tagged lists). Writing is
one transaction of many clauses. The wanted bridges and ports are not here.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from orchestration.errors import ForeignThing, NetworkFailed
from orchestration.providers.failures import Failure, run_or_fail
from orchestration.transport.base import Scope, Transport, command

TIMEOUT_S = 20
START_HINT = "Start Open vSwitch there (service openvswitch-switch start)."
_SETUP_ERROR = "Error detected while setting up"
_BARE = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*")

Clause = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Row:
    """One row: columns by name, as text, as a set of texts, or as a map."""

    columns: Mapping[str, object]

    def text(self, column: str) -> str:
        """Return a column's only value; empty when it has none."""
        return next(iter(self.values(column)), "")

    def values(self, column: str) -> tuple[str, ...]:
        """Return all values of a column."""
        value = self.columns[column]
        match value:
            case ["set", list(members)]:
                return tuple(_scalar(member) for member in members)
            case _:
                return (_scalar(value),)

    def map(self, column: str) -> dict[str, str]:
        """Return a map column."""
        match self.columns[column]:
            case ["map", list(pairs)]:
                return {str(key): _scalar(value) for key, value in pairs}
            case _:
                return {}


def parse_tables(text: str) -> list[list[Row]]:
    """Parse one table per line, in the order of the `list` commands."""
    tables = []
    for line in text.splitlines():
        if not line.strip():
            continue
        table = json.loads(line)
        headings = table["headings"]
        tables.append(
            [Row(dict(zip(headings, row, strict=True))) for row in table["data"]]
        )
    return tables


def assign(column: str, value: str | Mapping[str, str]) -> str:
    """Write `column=value` for `ovs-vsctl set`; an empty value clears the column."""
    if isinstance(value, str):
        return f"{column}={_quote(value) if value else '[]'}"
    pairs = ",".join(f"{key}={_quote(value[key])}" for key in sorted(value))
    return f"{column}={{{pairs}}}"


def list_clause(table: str, columns: str, *records: str) -> Clause:
    """Build the clause that lists columns of the named rows that exist."""
    return ("--if-exists", f"--columns={columns}", "list", table, *records)


def read(transport: Transport, *clauses: Clause, scope: Scope) -> tuple[list[Row], ...]:
    """Return one table per clause, all from one call."""
    what = f"Open vSwitch on {transport.machine} could not be read."
    return tuple(parse_tables(_vsctl(transport, clauses, what, scope=scope)))


def write(
    transport: Transport, clauses: Sequence[Clause], what: str, *, scope: Scope
) -> None:
    """Run all clauses as one transaction; `what` is the sentence when it fails."""
    _vsctl(transport, clauses, what, scope=scope)


def _vsctl(
    transport: Transport, clauses: Sequence[Clause], what: str, *, scope: Scope
) -> str:
    words = [word for clause in clauses for word in ("--", *clause)]
    cmd = command("ovs-vsctl", f"--timeout={TIMEOUT_S}", "--format=json", *words)
    failure = Failure(NetworkFailed, what, START_HINT)
    completed = run_or_fail(
        transport, cmd.with_root(), failure, scope=scope, timeout_s=TIMEOUT_S + 10
    )
    if _SETUP_ERROR in completed.stderr:
        hint = "See the switch daemon's log on that host."
        raise failure.build(completed.stderr.strip(), hint=hint)
    return completed.stdout


def refuse_foreign(row: Row, what: str, testbed: str, machine: str) -> None:
    """Raise ForeignThing unless the row carries this testbed's tag."""
    owner = row.map("external_ids").get("testbed", "")
    if owner != testbed:
        raise ForeignThing(what, machine, owner=owner and f"testbed {owner}")


def _scalar(value: object) -> str:
    match value:
        case bool():
            return "true" if value else "false"
        case ["uuid", str(uuid)]:
            return uuid
        case _:
            return str(value)


def _quote(value: str) -> str:
    return value if _BARE.fullmatch(value) else json.dumps(value)
