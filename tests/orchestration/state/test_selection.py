"""Patterns select guests as ClusterShell's tools do, and refuse what they cannot mean."""

import sys
import time

import pytest
from ClusterShell.NodeSet import NodeSet

from orchestration.errors import SelectionFailed
from orchestration.state.model import State
from orchestration.state.selection import (
    HOSTS_HINT,
    fold,
    select,
    select_guests,
    select_hosts,
    shortest,
)
from tests.orchestration.state.samples import HOSTS, build, machine, scaled, spec_of

# Names that are no rectangle of numbers.
MANY = [f"a{n * 7919 % 997}b{n * 104_729 % 991}c{n}" for n in range(3000)]


@pytest.fixture
def state() -> State:
    """`web-0` to `web-3` on both bridges, `db` on one, and two clones of `node`."""
    web = [machine(f"web-{n}", "br0", "br1") for n in range(4)]
    db, node = machine("db", "br1"), scaled("node", ["br0"], ["br0"])
    return build(spec_of(*web, db, node, bridges=("br0", "br1")), hosts=HOSTS[:1])


@pytest.mark.parametrize(
    ("pattern", "wanted"),
    [
        ("web-[0-1,3]", "web-[0-1,3]"),
        ("web-*", "web-[0-3]"),
        ("web-?", "web-[0-3]"),
        ("db", "db"),
        ("db web-1", "db,web-1"),
        (" db ,  web-1 ", "db,web-1"),
        ("!web-2", "db,node-[0-1],web-[0-1,3]"),
        ("web-* ! web-2", "web-[0-1,3]"),
        ("web-[0-2]&web-[1-3]", "web-[1-2]"),
        ("web-[0-2]^web-[1-3]", "web-[0,3]"),
        ("@all", "db,node-[0-1],web-[0-3]"),
        ("*", "db,node-[0-1],web-[0-3]"),
        ("@failed", "web-3"),
        ("@bridge:br0", "node-[0-1],web-[0-3]"),
        ("@switch:br1!db", "web-[0-3]"),
        ("@host:host-a", "db,node-[0-1],web-[0-3]"),
        ("@clones:node", "node-[0-1]"),
        ("@clones:node,@failed", "node-[0-1],web-3"),
        ("@clones:*", "node-[0-1]"),
        ("web-[0-3]!web-1,db&web-*", "web-[0,2-3]"),
    ],
)
def test_pattern_selects_the_guests_that_it_names(
    state: State, pattern: str, wanted: str
) -> None:
    found = select_guests(state, pattern, failed=("web-3",))

    assert fold(found) == wanted


def test_selected_guests_keep_the_order_of_the_state(state: State) -> None:
    assert select_guests(state, "db,web-3,web-0") == ("web-0", "web-3", "db")


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("", "No guest is selected."),
        ("  ", "No guest is selected."),
        ("@failed", "`@failed` selects no guest."),
        ("nobody-*", "`nobody-*` selects no guest."),
        ("web-*!web-*", "`web-*!web-*` selects no guest."),
        ("web-[2-5]", "There is no guest web-[4-5] in this testbed."),
        ("Web-1", "There is no guest Web-1 in this testbed."),
        ("@nothing", "cannot be read: there is no group @nothing"),
        ("@host:host-z", "cannot be read: there is no group @host:host-z"),
        ("@kind:x", "cannot be read"),
        ("web-[1-", "cannot be read"),
        ("web-[3-1]", "cannot be read"),
        ("a,,b", "cannot be read"),
        ("$(reboot)", "There is no guest $(reboot) in this testbed."),
        ("web-[0-999999999999]", "the selection names more than 20,000 guests"),
        ("w[0-999]x[0-999]", "the selection names more than 20,000 guests"),
        (f"w[{0:026}-{30000:026}]", "the selection names more than 20,000"),
        ("w[0-30000,30000-0]", "the selection names more than 20,000 guests"),
        ("w[0-15000],x[0-15000]", "the selection names more than 20,000 guests"),
        ("a*[0-19999]", "the selection names more than 20,000 guests"),
        (",".join(["@all"] * 10_000), "the selection names more than 20,000 guests"),
        ("x*" * 30_000, "has more than 1,024 characters."),
        (f"web-{'9' * 5000}", "a number of more than 100 digits."),
        (f"web-[0-{'9' * 5000}]", "a number of more than 100 digits."),
        (",db", "cannot be read: a name or a bracket is missing"),
        ("x" * 70_000, "The selection has 70,000 characters; 65,536 are read."),
    ],
)
def test_pattern_that_cannot_be_meant_is_refused_in_a_sentence(
    state: State, pattern: str, message: str
) -> None:
    with pytest.raises(SelectionFailed) as caught:
        select_guests(state, pattern)

    assert message in caught.value.message
    assert caught.value.hint


def test_refusal_names_the_guests_that_there_are(state: State) -> None:
    with pytest.raises(SelectionFailed) as caught:
        select_guests(state, "web-9")

    assert caught.value.hint == "There are db,node-[0-1],web-[0-3]."


def test_groups_of_this_machine_are_not_read(
    state: State,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    home = tmp_path_factory.mktemp("clustershell")
    (home / "groups.conf").write_text("[Main]\ndefault: x\n[x]\nmap: echo web-0\n")
    monkeypatch.setenv("CLUSTERSHELL_CFGDIR", str(home))

    with pytest.raises(SelectionFailed, match="there is no group @mine"):
        select_guests(state, "@mine")


def test_failed_guest_that_is_no_longer_there_is_matched_by_no_pattern(
    state: State,
) -> None:
    found = select_guests(state, "web-*", failed=("web-9",))

    assert fold(found) == "web-[0-3]"


@pytest.mark.parametrize(
    ("pattern", "wanted"),
    [("@all", "host-a,host-b"), ("host-a", "host-a"), ("!host-a", "host-b")],
)
def test_hosts_are_selected_in_the_same_notation(pattern: str, wanted: str) -> None:
    guests = (machine("web", "br0"), machine("db", "br1"))
    state = build(spec_of(*guests, bridges=("br0", "br1")), hosts=HOSTS[:2])

    found = select_hosts(state, pattern)

    assert ",".join(found) == wanted


def test_selection_of_hosts_matches_no_guest_and_says_how_to_write_it(
    state: State,
) -> None:
    with pytest.raises(SelectionFailed) as unknown:
        select_hosts(state, "web-0")
    with pytest.raises(SelectionFailed) as guests:
        select_hosts(state, "@bridge:br0")

    assert unknown.value.message == "There is no host web-0 in this testbed."
    assert guests.value.hint == HOSTS_HINT


def test_selection_of_many_long_names_is_read(state: State) -> None:
    names = ",".join(f"web-{n % 4}!node-0" for n in range(900))

    assert len(names) > 4096
    assert select_guests(state, names) == ("web-0", "web-1", "web-2", "web-3")


@pytest.mark.parametrize(
    "pattern", ["@all", "a*", "!a0b0c0", "@odd", "a*&@all", "a*^@odd", "a*,a0b0c0", ""]
)
def test_work_grows_as_the_number_of_names_with_several_numbers(pattern: str) -> None:
    few, many = (calls_of(pattern, MANY[:count]) for count in (500, 1000))

    assert many < 2.5 * few


def calls_of(pattern: str, names: list[str]) -> int:
    """Count the calls that selecting and folding take; no pattern: all by name."""
    calls = 0

    def count(_frame: object, event: str, _arg: object) -> None:
        nonlocal calls
        calls += event in ("call", "c_call")

    groups = {"": {"odd": names[::2]}}
    sys.setprofile(count)
    try:
        fold(select(pattern or ",".join(names), names, groups, thing="guest"))
    finally:
        sys.setprofile(None)
    return calls


def test_many_names_with_several_numbers_are_folded_by_the_last() -> None:
    names = [f"rack{rack}-node{node:02}" for rack in range(9) for node in range(20)]

    folded = fold(["db", *names])

    assert folded == ",".join(["db", *(f"rack{n}-node[00-19]" for n in range(9))])
    assert set(NodeSet(folded)) == {"db", *names}


@pytest.mark.parametrize(
    ("pattern", "wanted"),
    [
        ("web-0,web-1,web-2", "web-[0-2]"),
        (" web-0 web-1  db ", "db,web-[0-1]"),
        ("web,db", "web,db"),
        ("@failed", "@failed"),
        ("web-*,web-1,web-2,web-3", "web-*,web-1,web-2,web-3"),
        ("!web-1,web-2,web-3", "!web-1,web-2,web-3"),
        ("web-[0-1],web-[2-3]", "web-[0-1],web-[2-3]"),
    ],
)
def test_list_of_names_is_written_in_its_shortest_form(
    pattern: str, wanted: str
) -> None:
    assert shortest(pattern) == wanted


def test_many_spaces_take_no_time(state: State) -> None:
    before = time.process_time()

    found = select_guests(state, f"db{' ' * 60_000}web-1")

    assert time.process_time() - before < 2
    assert found == ("web-1", "db")
