"""Selects guests of a state by ClusterShell's notation, and folds names back into it.

    web-[0-3,7]     names with ranges          web-*   names by pattern
    web-*!web-2     all but some               !web-2  all but that one
    a,b  a&b  a^b   union, intersection, either but not both
    @bridge:br0  @switch:sw0  @host:host-b  @clones:web  @failed  @all

The notation is the one of the library's tools (clush, nodeset), so that its manual is
ours. What a pattern matches is decided here alone, for pages, clients and plans.
"""

import math
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping

from ClusterShell.NodeSet import NodeSet, NodeSetException
from ClusterShell.NodeUtils import (
    GroupResolver,
    GroupResolverError,
    GroupSource,
    GroupSourceError,
    GroupSourceQueryFailed,
)
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
# Names with several numbers, as `a1b2`, are compared each with each: 300 took 1.5 s to
# read and 1.5 s to fold, 2,000 more than a minute.
MOST_SEVERAL = 100
# Python reads 4,300 digits, and raises ValueError for more.
MOST_DIGITS = 100
_AROUND_OPERATOR = re.compile(r" ?([,!&^]) ?")
_BRACKET = re.compile(r"\[[^\[\]]*\]")
_TERM = re.compile(rf"(?:{_BRACKET.pattern}|[^,!&^\s\[\]])+")
_PATTERN = re.compile(r"^@|[*?]")
_RANGE = re.compile(r"(\d+)-(\d+)")
_LONG_NUMBER = re.compile(rf"\d{{{MOST_DIGITS + 1}}}")
_NUMBER = re.compile(rf"{_BRACKET.pattern}|\d+")
_LAST_NUMBER = re.compile(r"(.*?)(\d+)(\D*)")
# The source of groups without a kind, by a name that no kind has.
_PLAIN = "testbed"
Groups = Mapping[str, Mapping[str, Iterable[str]]]
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
    return str(NodeSet.fromlist(known, resolver=GroupResolver()))


def _by_last_number(names: Iterable[str]) -> Iterator[str]:
    """Yield patterns of names that are alike but for their last number."""
    numbers: dict[tuple[str, str], list[str]] = defaultdict(list)
    for name in names:
        if found := _LAST_NUMBER.fullmatch(name):
            numbers[found[1], found[3]].append(found[2])
    for (head, tail), them in sorted(numbers.items()):
        folded = RangeSet.fromlist(them)
        yield f"{head}[{folded}]{tail}" if len(them) > 1 else f"{head}{them[0]}{tail}"


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
    normal, resolver = _normal(pattern), _resolver(known, groups)
    terms = _TERM.findall(normal)
    if ",".join(terms) != normal or any(map(_PATTERN.search, terms)):
        _require_few_several(terms)
        terms = [normal]
    try:
        # One after the other, because together they would be folded.
        return {name for term in terms for name in NodeSet(term, resolver=resolver)}
    except (NodeSetException, GroupResolverError, GroupSourceError) as exc:
        raise SelectionFailed(
            f"The selection `{_cut(pattern)}` cannot be read: {_cut(str(exc))}.",
            hint=HINT,
        ) from exc


def _normal(pattern: str) -> str:
    """Let spaces separate names, and a pattern begin with what it leaves out."""
    # Single spaces first: looking ahead over many takes quadratic time.
    joined = _AROUND_OPERATOR.sub(r"\1", " ".join(pattern.split())).replace(" ", ",")
    return f"@all{joined}" if joined.startswith("!") else joined


def _require_few_several(terms: Iterable[str]) -> None:
    """Refuse many names with several numbers, where they have to be compared."""
    if sum(map(_has_several, terms)) > MOST_SEVERAL:
        raise SelectionFailed(
            f"The selection has more than {MOST_SEVERAL} names with several numbers, "
            "and patterns, groups or operators beside them.",
            hint="Write the names alone, separated by commas.",
        )


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


class _Source(GroupSource):  # type: ignore[misc]
    """Groups of one kind; an unknown one is an error, not an empty one."""

    def resolv_map(self, group: str) -> str:
        """Return the group's names. Raises: GroupSourceQueryFailed."""
        if group not in self.groups:
            place = f"@{self.name}:{group}" if self.name != _PLAIN else f"@{group}"
            raise GroupSourceQueryFailed(f"there is no group {place}", self)
        return ",".join(self.groups[group])


def _resolver(known: tuple[str, ...], groups: Groups) -> GroupResolver:
    """Return a resolver that knows these groups alone, and no file of this machine."""
    plain = {"all": known, **groups.get("", {})}
    resolver = GroupResolver(_Source(_PLAIN, plain))
    for kind, found in groups.items():
        if kind:
            resolver.add_source(_Source(kind, dict(found)))
    return resolver


def _are(known: tuple[str, ...], thing: str) -> str:
    if not known:
        return f"is no {thing}"
    return f"{'is' if len(known) == 1 else 'are'} {fold(known)}"
