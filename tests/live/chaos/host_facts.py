"""The facts of one host, read with its own tools and past the product.

One shell command a look. Everything is listed, ours and foreign; `expected.py` compares
it with a testbed's state, `checks.py` with what was there before.
"""

import json
import re
from dataclasses import dataclass
from typing import Any

from tests.live.stack import NamespaceHost

SEPARATOR = "@@@@"
LOOK = f"""
virsh -q list --all
echo {SEPARATOR}
virsh -q net-list --all
echo {SEPARATOR}
ovs-vsctl --format=json --columns=name,ports,external_ids list Bridge
echo {SEPARATOR}
ovs-vsctl --format=json --columns=_uuid,name,external_ids list Port
echo {SEPARATOR}
ovs-vsctl --format=json --columns=name,type,options,error list Interface
echo {SEPARATOR}
ip -j -d link
echo {SEPARATOR}
nft --stateless list ruleset
echo {SEPARATOR}
for file in /run/libvirt/network/*.pid; do
  [ ! -d "/proc/$(cat "$file")" ] || basename "$file" .pid
done 2> /dev/null
echo {SEPARATOR}
find /var/lib/testbed "$0" -maxdepth 4 -path '*/artefacts/*' 2> /dev/null
exit 0
"""
TABLE = re.compile(r"^table (\w+ \S+) \{\n.*?^\}", re.MULTILINE | re.DOTALL)
SEAL = re.compile(r"\tchain listed_\w+ \{\n\t\}\n\n?")


@dataclass(frozen=True)
class Domain:
    """A domain of libvirt; `run` is its number since its start, empty when it is off."""

    status: str
    run: str


@dataclass(frozen=True)
class Port:
    """A port of Open vSwitch on its bridge, with its interface's kind and options."""

    bridge: str
    testbed: str
    ifindex: str
    kind: str
    options: dict[str, str]
    error: str


@dataclass(frozen=True)
class Link:
    """A network device of the kernel."""

    is_up: bool
    master: str
    index: int


@dataclass(frozen=True)
class HostFacts:
    """Everything that a look found, by name; `networks` tells which are active."""

    domains: dict[str, Domain]
    networks: dict[str, bool]
    bridges: dict[str, str]
    ports: dict[str, Port]
    links: dict[str, Link]
    tables: dict[str, str]
    served: frozenset[str]
    files: frozenset[str]

    def is_down(self, device: str) -> bool:
        """Return whether a network device is there, and down."""
        link = self.links.get(device)
        return link is not None and not link.is_up

    def names_of(self, number: int) -> set[str]:
        """Return all that is named for a testbed's number, as `kind name`."""
        kinds = {
            "domain": self.domains,
            "network": self.networks,
            "bridge": self.bridges,
            "port": self.ports,
            "link": self.links,
        }
        pattern = re.compile(rf"t{number}(?!\d)")
        found = {
            f"{k} {n}" for k, names in kinds.items() for n in names if pattern.match(n)
        }
        table = f"bridge testbed_t{number}"
        return found | ({f"table {table}"} & {f"table {name}" for name in self.tables})


def read(host: NamespaceHost, projects: str) -> HostFacts:
    """Look at a host once; `projects` is the folder of main's testbeds."""
    parts = host.run("sh", "-c", LOOK, projects).split(f"{SEPARATOR}\n")
    domains, networks, bridges, ports, cards, links, tables, served, files = parts
    interfaces = {row["name"]: row for row in _rows(cards)}
    of_bridge = _rows(bridges)
    homes = {uuid: row["name"] for row in of_bridge for uuid in _set(row["ports"])}
    return HostFacts(
        domains=dict(map(_domain, domains.splitlines())),
        networks={
            line.split()[0]: line.split()[1] == "active" for line in _lines(networks)
        },
        bridges={
            row["name"]: _map(row["external_ids"]).get("testbed", "")
            for row in of_bridge
        },
        ports={row["name"]: _port(row, homes, interfaces) for row in _rows(ports)},
        links={row["ifname"]: _link(row) for row in json.loads(links)},
        tables={found[1]: SEAL.sub("", found[0]) for found in TABLE.finditer(tables)},
        served=frozenset(served.split()),
        files=frozenset(files.splitlines()),
    )


def _lines(text: str) -> list[str]:
    return [line for line in text.splitlines() if line.strip()]


def _domain(line: str) -> tuple[str, Domain]:
    run, name, status = line.split(maxsplit=2)
    return name, Domain(status.strip(), "" if run == "-" else run)


def _rows(text: str) -> list[dict[str, Any]]:
    table = json.loads(text)
    return [dict(zip(table["headings"], row, strict=True)) for row in table["data"]]


def _set(value: Any) -> list[str]:
    """Return the uuids of a column; one alone is no set in Open vSwitch's JSON."""
    kind, content = value
    return [uuid for _, uuid in content] if kind == "set" else [content]


def _map(value: Any) -> dict[str, str]:
    return dict(value[1])


def _port(
    row: dict[str, Any], homes: dict[str, str], interfaces: dict[str, dict[str, Any]]
) -> Port:
    ids = _map(row["external_ids"])
    card = interfaces.get(
        row["name"], {"type": "", "options": ["map", []], "error": ""}
    )
    error = card["error"] if isinstance(card["error"], str) else ""
    return Port(
        homes.get(row["_uuid"][1], ""),
        ids.get("testbed", ""),
        ids.get("ifindex", ""),
        card["type"],
        _map(card["options"]),
        error,
    )


def _link(row: dict[str, Any]) -> Link:
    return Link("UP" in row["flags"], row.get("master", ""), row["ifindex"])
