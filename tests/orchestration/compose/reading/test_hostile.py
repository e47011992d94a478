"""Text that means harm, or nothing at all, costs little and never raises."""

import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestration.compose.check import check
from orchestration.compose.loader import load_spec
from orchestration.compose.reading.document import DEPTH_LIMIT, NODE_LIMIT
from orchestration.compose.reading.text import SIZE_LIMIT_BYTES
from tests.orchestration.compose.fakes import FakeFiles, catalogue_with_test_guest

CATALOGUE = catalogue_with_test_guest()


def alias_bomb(levels: int) -> str:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    for level in range(1, levels):
        below = ", ".join([f"*a{level - 1}"] * 9)
        lines.append(f"a{level}: &a{level} [{below}]")
    return "\n".join(lines)


def alias_ladder(levels: int) -> str:
    lines = ["a0: &a0 [x]"]
    lines += [f"a{n}: &a{n} [*a{n - 1}]" for n in range(1, levels)]
    return "\n".join(lines)


def only_message(text: str | bytes) -> str:
    loaded = load_spec(text)
    assert loaded.spec is None
    (finding,) = loaded.findings
    return finding.message


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param(alias_bomb(12), "more than", id="alias bomb"),
        pytest.param(alias_ladder(500), "Nested deeper", id="alias ladder"),
        pytest.param("a: &a [*a]", "has no anchor", id="alias of itself"),
        pytest.param("[" * 100_000, "Nested deeper", id="deep lists"),
        pytest.param("{a: " * 100_000, "Nested deeper", id="deep maps"),
        pytest.param("? " * 50_000, "Nested deeper", id="deep keys"),
        pytest.param("- " * 50_000, "Nested deeper", id="deep blocks"),
        pytest.param("[1" + ",1" * NODE_LIMIT + "]", "more than", id="many values"),
        pytest.param("a" * (SIZE_LIMIT_BYTES + 1), "larger", id="too large"),
        pytest.param(b"\x7fELF\x02\x01\x01\x00" * 10, "U+007F", id="binary"),
        pytest.param(b"\xff\xfem\x00a\x00", "not UTF-8", id="UTF-16"),
        pytest.param("a: \x1b[31m", "U+001B", id="escape sequence"),
        pytest.param("a: \ud800", "U+D800", id="half a character"),
        pytest.param("", "empty", id="empty"),
        pytest.param("# only a remark\n", "empty", id="only a remark"),
        pytest.param("--- a\n--- b", "more than one", id="two documents"),
    ],
)
def test_hostile_text_is_refused_with_one_sentence(
    text: str | bytes, message: str
) -> None:
    assert message in only_message(text)


def test_fifty_megabytes_take_no_memory() -> None:
    text = b"- x\n" * (50 * 1024 * 1024 // 4)

    tracemalloc.start()
    message = only_message(text)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert "larger" in message
    assert peak < 1024 * 1024


def test_alias_bomb_takes_little_memory() -> None:
    tracemalloc.start()
    only_message(alias_bomb(30))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert peak < 16 * 1024 * 1024


def test_nesting_up_to_the_limit_is_read() -> None:
    text = "a: " + "[" * (DEPTH_LIMIT - 1) + "]" * (DEPTH_LIMIT - 1)

    assert [f.message for f in load_spec(text).findings] == [
        "Unknown key `a` is ignored."
    ]


@pytest.mark.parametrize(
    "tag", ["!!python/object/apply:os.system [x]", "!!str 3", "!own x", "!!binary aGk="]
)
def test_tag_is_refused_and_does_nothing(tag: str) -> None:
    findings = load_spec(f"machines: []\nx: {tag}\n").findings

    assert any("Tags are not supported" in finding.message for finding in findings)


def test_huge_number_stays_text() -> None:
    findings = load_spec("machines: " + "9" * 100_000).findings

    assert "it is text" in findings[0].message


KEYS = st.sampled_from(
    [
        *("machines", "name", "interfaces", "bridge", "mac", "ip", "gateway"),
        *("libvirt", "cpus", "memory_mb", "libvirt_type", "cloud_image", "name"),
        *("environment", "setup_script", "context", "network", "bridges"),
        *("bridge_connections", "external_bridge", "testbed_options"),
        *("load_balancing", "docker", "ovn", "scaling", "<<", "*a", "&a"),
    ]
)
SCALARS = st.sampled_from(
    [
        *("", "1", "-1", "no", "~", "br0", '"x"', "*a", "&a b", "!!int x", "1e3"),
        *("52:54:00:12:34:56", "'\\0'", '"\\0"', "[", "{", "a: b", "- x", "0o17"),
        *("08", ".nan", "0b_", "0x_", "._", "+.inf", "=", "<<"),
    ]
)
LINES = st.lists(
    st.tuples(st.integers(0, 8), st.sampled_from(["", "- "]), KEYS, SCALARS),
    max_size=25,
)


@given(st.one_of(st.text(), st.binary()))
@settings(max_examples=200, deadline=None)
def test_any_text_or_bytes_give_findings_and_no_exception(text: str | bytes) -> None:
    loaded = check(text, files=FakeFiles(), catalogue=CATALOGUE, testbed_name="lab")

    assert (loaded.spec is None) == bool(loaded.errors)


@given(LINES)
@settings(max_examples=300, deadline=None)
def test_nearly_right_yaml_gives_findings_and_no_exception(
    lines: list[tuple[int, str, str, str]],
) -> None:
    text = "\n".join(
        f"{' ' * indent}{dash}{key}: {value}" for indent, dash, key, value in lines
    )

    loaded = check(text, files=FakeFiles(), catalogue=CATALOGUE, testbed_name="lab")

    assert (loaded.spec is None) == bool(loaded.errors)


def json_like(leaves: st.SearchStrategy[object]) -> st.SearchStrategy[object]:
    return st.recursive(
        leaves, lambda below: st.lists(below) | st.dictionaries(KEYS, below)
    )


@given(st.dictionaries(KEYS, json_like(st.none() | st.booleans() | st.integers())))
@settings(max_examples=200, deadline=None)
def test_any_values_under_known_keys_give_findings(data: dict[str, object]) -> None:
    text = repr(data).replace("None", "~").replace("'<<'", "x").replace("'", '"')

    loaded = check(text, files=FakeFiles(), catalogue=CATALOGUE, testbed_name="lab")

    assert all(finding.line == 1 for finding in loaded.findings)


def test_thousands_of_clones_on_unknown_bridges_among_thousands_are_judged() -> None:
    clones = ", ".join(str(number) for number in range(3300))
    text = (
        "machines: [{name: a, docker: {image: x, scaling: {count: 3300, "
        f"interfaces: [{{bridge: zz, clones: [{clones}]}}]}}}}}}]\n"
        "network: {external_bridge: b0, bridges: ["
        + ", ".join(f"{{name: b{number}}}" for number in range(9999))
        + "]}\n"
    )

    loaded = check(text, files=FakeFiles(), catalogue=CATALOGUE)

    assert [f.message for f in loaded.errors] == ["Unknown bridge `zz`."]


def test_thousands_of_ports_routes_and_leases_of_a_router_are_judged() -> None:
    count = 4000
    ports = ", ".join(
        f"{{name: p{n}, gateway_ip: 10.{n // 250}.{n % 250}.1/24, switch: x}}"
        for n in range(count)
    )
    routes = ", ".join("{prefix: 0.0.0.0/0, nexthop: 9.9.9.9}" for _ in range(count))
    leases = ", ".join(
        "{switch: s, exclude_ips: {from: 10.0.0.9, to: 10.0.0.9}}" for _ in range(count)
    )
    text = (
        "network:\n  ovn:\n    switches: {s: {subnet: 10.0.0.0/24}}\n"
        f"    routers: {{r: {{ports: [{ports}], static_routes: [{routes}], "
        f"dhcp: [{leases}]}}}}\n"
    )

    loaded = check(text, files=FakeFiles(), catalogue=CATALOGUE)

    assert "Unknown switch `x`." in {f.message for f in loaded.errors}
