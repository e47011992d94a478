"""Selects guests of a state by ClusterShell's notation, and folds names back into it.

    web-[0-3,7]     names with ranges          web-*   names by pattern
    web-*!web-2     all but some               !web-2  all but that one
    a,b  a&b  a^b   union, intersection, either but not both
    @bridge:br0  @switch:sw0  @host:host-b  @clones:web  @failed  @all

The notation is the one of the library's tools (clush, nodeset), so that its manual is
ours. The library reads the terms and folds names. Sets of guests are combined here: it
would fold each, which compares names of several numbers, as `a1b2`, each with each.
What a pattern matches is decided here alone, for pages, clients and plans.
"""

import fnmatch
import math
import operator
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping

from ClusterShell.NodeSet import RESOLVER_NOGROUP, NodeSet, NodeSetException
from ClusterShell.RangeSet import RangeSet

from orchestration.errors import SelectionFailed
from orchestration.state.model import State

# `a[1-9]` names nine guests, and `a[1-999999999]` would take the memory of a worker. A
# pattern or group costs as much as all names that there are, 28 µs each: `a*[0-19999]`
# took 8 s among 200 guests, 800 times `@all` 4.5 s.
MOST_NAMES = 20_000
MOST_PATTERNS = 20
MOST_PATTERN_CHARACTERS = 1024
# The form of a run of hundreds of guests, which is run again, names each of them.
MOST_CHARACTERS = 64 * 1024
SHOWN_CHARACTERS = 200
# 300 names with several numbers took the library 1.5 s to fold, 2,000 more than a minute.
MOST_SEVERAL = 100
# Python reads 4,300 digits, and raises ValueError for more.
MOST_DIGITS = 100
_AROUND_OPERATOR = re.compile(r" ?([,!&^]) ?")
_BRACKET = re.compile(r"\[[^\[\]]*\]")
_TERM = re.compile(rf"(?:{_BRACKET.pattern}|[^,!&^\s\[\]])+")
# Operators are done from left to right.
_STEP = re.compile(rf"(^|(?!^)[,!&^])({_TERM.pattern})")
_PATTERN = re.compile(r"^@|[*?]")
_MORE_THAN_NAMES = re.compile(r"[@*?!&^\[\]]")
_RANGE = re.compile(r"(\d+)-(\d+)")
_LONG_NUMBER = re.compile(rf"\d{{{MOST_DIGITS + 1}}}")
_NUMBER = re.compile(rf"{_BRACKET.pattern}|\d+")
_LAST_NUMBER = re.compile(r"(.*?)(\d+)(\D*)")
Groups = Mapping[str, Mapping[str, Iterable[str]]]
_OPERATIONS: Mapping[str, Callable[[set[str], set[str]], set[str]]] = {
    "": operator.or_,
    ",": operator.or_,
    "!": operator.sub,
    "&": operator.and_,
    "^": operator.xor,
}
HINT = (
    "Write names, ranges and patterns: web-[0-3,7], web-*, !web-2; or groups: "
    "@all, @failed, @bridge:NAME, @switch:NAME, @host:NAME, @clones:NAME."
)
HOSTS_HINT = "Write names, ranges and patterns: main, host-[1-3], !main; or @all."


def select_guests(
    state: State, pattern: str, *, failed: Iterable[str] = ()
) -> tuple[str, ...]:
    """Return the names of the guests that a pattern matches, in the state's order.

    `failed` are the guests on which the last run failed. Raises: SelectionFailed.
    """
    names = [guest.name for guest in state.guests]
    # Patterns match the names of groups, too; a guest of an earlier YAML is none.
    there = set(names) & set(failed)
    groups: Groups = {**guest_groups(state), "": {"failed": there}}
    return select(pattern, names, groups, thing="guest")


def select(
    pattern: str,
    names: Iterable[str],
    groups: Groups,
    *,
    thing: str,
    hint: str = HINT,
) -> tuple[str, ...]:
    """Return the names that a pattern matches, in their order.

    `groups` are groups by kind, those of kind "" are written without one. `thing` and
    `hint` are for the errors. Raises: SelectionFailed (empty, malformed, unknown names).
    """
    known = tuple(names)
    try:
        found = _parse(pattern.strip(), known, groups, thing)
    except SelectionFailed as exc:
        exc.hint = hint
        raise
    wanted = set(found)
    if strangers := wanted - set(known):
        raise SelectionFailed(
            f"There is no {thing} {_cut(fold(_some(strangers)))} in this testbed.",
            hint=f"There {_are(known, thing)}.",
        )
    if not wanted:
        raise SelectionFailed(
            f"`{_cut(pattern)}` selects no {thing}.",
            hint=f"There {_are(known, thing)}.",
        )
    return tuple(name for name in known if name in wanted)


def select_hosts(state: State, pattern: str) -> tuple[str, ...]:
    """Return the names of the testbed's hosts that a pattern matches, main first.

    Raises: SelectionFailed.
    """
    names = [host.name for host in state.used_hosts]
    return select(pattern, names, {}, thing="host", hint=HOSTS_HINT)


def fold(names: Iterable[str]) -> str:
    """Write names in one pattern: `web-[0-2,7],db`.

    Of many names with several numbers only the last number is folded.
    """
    known = list(names)
    several = {name: None for name in known if _has_several(name)}
    if len(several) > MOST_SEVERAL:
        others = fold(name for name in known if name not in several)
        return ",".join(filter(None, (others, *_by_last_number(several))))
    return str(NodeSet.fromlist(known, resolver=RESOLVER_NOGROUP))


def _by_last_number(names: Iterable[str]) -> Iterator[str]:
    """Yield patterns of names that are alike but for their last number."""
    numbers: dict[tuple[str, str], list[str]] = defaultdict(list)
    for name in names:
        if found := _LAST_NUMBER.fullmatch(name):
            numbers[found[1], found[3]].append(found[2])
    for (head, tail), them in sorted(numbers.items()):
        folded = RangeSet.fromlist(them)
        yield f"{head}[{folded}]{tail}" if len(them) > 1 else f"{head}{them[0]}{tail}"


def shortest(pattern: str) -> str:
    """Fold a list of names where that is shorter; anything else is left as it is."""
    normal = _normal(pattern.strip())
    names = normal.split(",")
    if not all(names) or _MORE_THAN_NAMES.search(normal):
        return pattern
    return min(pattern, fold(names), key=len)


def guest_groups(state: State) -> dict[str, dict[str, list[str]]]:
    """Return the groups of a state's guests by kind: host, bridge, switch, clones."""
    groups: dict[str, dict[str, list[str]]] = {
        kind: defaultdict(list) for kind in ("host", "bridge", "switch", "clones")
    }
    for guest in state.guests:
        groups["host"][guest.host].append(guest.name)
        for bridge in dict.fromkeys(i.bridge for i in guest.interfaces):
            groups["bridge"][bridge].append(guest.name)
            groups["switch"][bridge].append(guest.name)
        if guest.golden:
            groups["clones"][guest.golden].append(guest.name)
    return groups


def _parse(
    pattern: str,
    known: tuple[str, ...],
    groups: Groups,
    thing: str,
) -> set[str]:
    if not pattern:
        raise SelectionFailed(f"No {thing} is selected.", hint=HINT)
    if len(pattern) > MOST_CHARACTERS:
        raise SelectionFailed(
            f"The selection has {len(pattern):,} characters; {MOST_CHARACTERS:,} are "
            "read.",
            hint=HINT,
        )
    _require_few_names(pattern, len(known))
    groups = {**groups, "": {"all": known, **groups.get("", {})}}
    found: set[str] = set()
    try:
        for operation, term in _steps(_normal(pattern)):
            found = _OPERATIONS[operation](found, _named(term, known, groups))
    except (NodeSetException, ValueError) as exc:
        raise SelectionFailed(
            f"The selection `{_cut(pattern)}` cannot be read: {_cut(str(exc))}.",
            hint=HINT,
        ) from exc
    return found


def _steps(normal: str) -> list[tuple[str, str]]:
    """Return the terms with the operators before them. Raises: ValueError."""
    steps: list[tuple[str, str]] = _STEP.findall(normal)
    if sum(map(len, map("".join, steps))) != len(normal):
        raise ValueError("a name or a bracket is missing")
    return steps


def _named(term: str, known: tuple[str, ...], groups: Groups) -> set[str]:
    """Return the names that a term stands for. Raises: NodeSetException, ValueError."""
    expanded = map(str, NodeSet(term, resolver=RESOLVER_NOGROUP))
    if term.startswith("@"):
        return {name for group in expanded for name in _members(group, groups)}
    if _PATTERN.search(term):
        return {name for mask in expanded for name in fnmatch.filter(known, mask)}
    return set(expanded)


def _members(group: str, groups: Groups) -> Iterable[str]:
    """Return the names of a group, as `@host:main`. Raises: ValueError."""
    kind, _, name = group[1:].rpartition(":")
    of_kind = groups.get(kind, {})
    if name == "*" and of_kind:
        return (member for members in of_kind.values() for member in members)
    if name not in of_kind:
        raise ValueError(f"there is no group {group}")
    return of_kind[name]


def _normal(pattern: str) -> str:
    """Let spaces separate names, and a pattern begin with what it leaves out."""
    # Single spaces first: looking ahead over many takes quadratic time.
    joined = _AROUND_OPERATOR.sub(r"\1", " ".join(pattern.split())).replace(" ", ",")
    return f"@all{joined}" if joined.startswith("!") else joined


def _has_several(name: str) -> bool:
    """Return whether a name has several numbers, or ranges of them."""
    return len(_NUMBER.findall(name)) > 1


def _some(names: Iterable[str]) -> list[str]:
    """Return as many names as a sentence can show."""
    return sorted(names)[:SHOWN_CHARACTERS]


def _require_few_names(pattern: str, known: int) -> None:
    """Refuse ranges that together name more guests than any testbed has.

    Each pattern or group is compared with all `known` names.
    """
    if _LONG_NUMBER.search(pattern):
        raise SelectionFailed(
            f"The selection has a number of more than {MOST_DIGITS} digits.", hint=HINT
        )
    names, most = 0, max(MOST_NAMES, MOST_PATTERNS * known)
    for term in _TERM.findall(pattern):
        count = math.prod(map(_size, _BRACKET.findall(term)))
        is_pattern = _PATTERN.search(term)
        if is_pattern and len(term) > MOST_PATTERN_CHARACTERS:
            raise SelectionFailed(
                f"The pattern `{_cut(term)}` has more than "
                f"{MOST_PATTERN_CHARACTERS:,} characters.",
                hint=HINT,
            )
        names += count * known if is_pattern else count
        if names > most:
            raise SelectionFailed(
                f"With `{_cut(term)}` the selection names more than {most:,} guests.",
                hint=HINT,
            )


def _cut(text: str) -> str:
    """Return the first part of a text for a sentence."""
    return text if len(text) <= SHOWN_CHARACTERS else f"{text[:SHOWN_CHARACTERS]}…"


def _size(bracket: str) -> int:
    """Return at most how many numbers a bracket names."""
    ranges = (max(int(to) - int(of), 0) for of, to in _RANGE.findall(bracket))
    return sum(ranges) + bracket.count(",") + 1


def _are(known: tuple[str, ...], thing: str) -> str:
    if not known:
        return f"is no {thing}"
    return f"{'is' if len(known) == 1 else 'are'} {fold(known)}"
