"""The firewall side of a simulated machine's shell: `nft` and its tables.

Understands the commands of `linux/firewall.py`: it lists what it was given.
"""

import re

from orchestration.transport.simulated.machine import Answer, Machine

_ADD_CHAIN = re.compile(r"add chain (\w+ \w+) (\w+)\n")
_DELETE_TABLE = re.compile(r"delete table (\w+ \w+)\n")
_LIST_TABLE = re.compile(r"list table (\w+ \w+)\n")
_TABLE = re.compile(r"^table (\w+ \w+) \{\n.*\Z", re.MULTILINE | re.DOTALL)


def nft(machine: Machine, words: list[str], text: str) -> Answer:
    """`nft -f -`, `nft add chain|delete table …`, `nft list ruleset bridge|table …`."""
    tables = machine.tables
    named = [word for word in words if not word.startswith("--")]
    line = text if words == ["-f", "-"] else f"{' '.join(named)}\n"
    if found := _TABLE.search(line):
        tables[found[1]] = found[0]
    elif (found := _ADD_CHAIN.fullmatch(line)) and found[1] in tables:
        ended = tables[found[1]].removesuffix("}\n")
        tables[found[1]] = f"{ended}\n\tchain {found[2]} {{\n\t}}\n}}\n"
    elif found := _DELETE_TABLE.fullmatch(line):
        tables.pop(found[1], None)
    elif (found := _LIST_TABLE.fullmatch(line)) and found[1] not in tables:
        return Answer(1, "", "Error: No such file or directory\n")
    elif found:
        return Answer(stdout=tables[found[1]])
    elif named == ["list", "ruleset", "bridge"]:
        of_family = (tables[name] for name in tables if name.startswith("bridge "))
        return Answer(stdout="".join(of_family))
    return Answer()
