"""A guest's tap on another bridge: one read, one transaction, libvirt's marks kept."""

import json
import re

import pytest

from orchestration.errors import NetworkFailed
from orchestration.providers.ovs.taps import ensure_tap
from orchestration.transport.base import Scope
from tests.fakes import FakeTransport

READ = re.compile(r"ovs-vsctl .* list .*")
MARKS = """'external_ids:attached-mac="52:54:00:00:00:01"' external_ids:vm-id=u"""
WRITE = "ovs-vsctl --timeout=20 --format=json --"
MARK = f"{WRITE} set Interface t7-0-0 {MARKS}"
MOVE = (
    f"{WRITE} --if-exists del-port t7-0-0 -- add-port t7-br1 t7-0-0 "
    f"-- set Interface t7-0-0 {MARKS}"
)
IDENTITY = {"vm-id": "u", "attached-mac": "52:54:00:00:00:01"}


def table(*rows):
    headings = list(rows[0]) if rows else []
    return json.dumps({"headings": headings, "data": [list(r.values()) for r in rows]})


def host(*, bridge=True, ports=("uuid", "other"), tap=True, error="", ids=IDENTITY):
    bridges = [{"name": "t7-br1", "ports": list(ports)}] if bridge else []
    port = [{"_uuid": ["uuid", "here"], "name": "t7-0-0"}] if tap else []
    marks = ["map", [list(pair) for pair in ids.items()]]
    shown = {"name": "t7-0-0", "error": error or ["set", []], "external_ids": marks}
    interface = [shown] if tap else []
    answer = "\n".join(table(*rows) for rows in (bridges, port, interface))
    return FakeTransport("host-a", [(READ, answer), (MOVE, ""), (MARK, "")])


def ensure(transport):
    return ensure_tap(transport, "t7-br1", "t7-0-0", identity=IDENTITY, scope=Scope())


@pytest.mark.parametrize(
    "there",
    [
        host(),
        host(tap=False),
        host(ports=("uuid", "here"), error="could not open network device"),
    ],
    ids=["on another bridge", "its bridge went", "broken"],
)
def test_tap_is_moved_in_one_transaction(there):
    assert ensure(there)
    assert there.lines[1:] == [MOVE]
    assert all(cmd.as_root for cmd in there.calls)


def test_tap_that_is_where_it_should_be_is_only_looked_at():
    there = host(ports=("uuid", "here"))

    assert not ensure(there)
    assert len(there.calls) == 1


def test_bridge_that_is_missing_is_named_before_the_tap_is_touched():
    there = host(bridge=False)

    with pytest.raises(NetworkFailed, match="t7-br1 does not exist on host-a"):
        ensure(there)
    assert len(there.calls) == 1


def test_tap_without_libvirts_marks_gets_them_and_stays_plugged_in():
    there = host(ports=("uuid", "here"), ids={"vm-id": "u"})

    assert ensure(there)
    assert there.lines[1:] == [MARK]
