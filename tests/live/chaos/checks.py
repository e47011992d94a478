"""The checks after each act: pages, foreign things, boots.

The page is compared with the hosts once a look of the product came after the act; what
does not agree by a deadline is a problem.
"""

import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

from orchestration.state.model import State
from tests.live.chaos.host_facts import SEPARATOR
from tests.live.chaos.lab import Lab, Testbed, plain
from tests.live.chaos.shown import Shown, shown_to
from tests.live.rows import rows
from tests.live.watch import Guest

AGREES_WITHIN_S = 60
# After a problem the next one may be the same in other words.
KNOWN_WITHIN_S = 15
ANSWERS_WITHIN_S = 120
PAUSE_S = 0.5
QUIET = {"down", "generated", "draft"}


def check(lab: Lab) -> list[str]:
    """Return what does not hold after an act, and was not known; looks anew."""
    since = datetime.now(UTC)
    problems = [*lab.problems, *_pages(lab, since)]
    problems += _foreign(lab)
    problems += _boots(lab)
    lab.problems, lab.touched = [], set()
    new = [problem for problem in problems if problem not in lab.known]
    lab.known = set(problems)
    return new


def _foreign(lab: Lab) -> list[str]:
    """Probe all foreign things, with one command on each host."""
    problems = []
    for host in {thing.host.name: thing.host for thing in lab.foreign}.values():
        things = [thing for thing in lab.foreign if thing.host is host]
        probes = f"\necho {SEPARATOR}\n".join(thing.probe for thing in things)
        answers = host.run("sh", "-c", probes, check=False).split(f"{SEPARATOR}\n")
        problems += [
            f"foreign {thing} was {thing.first!r}, is {plain(answer)!r}"
            for thing, answer in zip(things, answers, strict=True)
            if plain(answer) != thing.first
        ]
    return problems


def _pages(lab: Lab, since: datetime) -> list[str]:
    within_s = KNOWN_WITHIN_S if lab.known else AGREES_WITHIN_S
    deadline = time.monotonic() + within_s
    while True:
        is_late = time.monotonic() > deadline
        problems = [] if _is_read(lab, since) else ["the hosts were not read"]
        if not problems:
            lab.look()
            problems = [
                p for testbed in lab.testbeds.values() for p in _page(lab, testbed)
            ]
        if is_late or set(problems) <= lab.known:
            return problems
        time.sleep(PAUSE_S)


def _is_read(lab: Lab, since: datetime) -> bool:
    """Return whether the facts of each testbed are from after a moment."""
    found = rows(lab.stack, "SELECT observed_at FROM testbed_testbed")
    times = [
        datetime.fromisoformat(str(at)).replace(tzinfo=UTC) for (at,) in found if at
    ]
    return len(times) == len(found) and all(at > since for at in times)


def _page(lab: Lab, testbed: Testbed) -> list[str]:
    shown = _shown(lab, testbed)
    state = lab.state(testbed)
    things = lab.things_of(testbed)
    problems = _condition(testbed, shown, things)
    if state is not None:
        problems += _guests(lab, state, shown)
        problems += _drift(lab, testbed, state, shown)
    return [f"page of {testbed.slug}: {problem} [{shown}]" for problem in problems]


def _shown(lab: Lab, testbed: Testbed) -> Shown:
    found: list[Shown] = []

    def ask() -> str:
        found.append(shown_to(testbed.client, testbed.slug))
        return ""

    lab.asked(ask)
    return found[-1]


def _condition(testbed: Testbed, shown: Shown, things: set[str]) -> list[str]:
    if shown.condition in QUIET and things:
        return [f"it is {shown.condition}, and there are {sorted(things)}"]
    is_over = testbed.last in (("down", "succeeded"), ("clear-artefacts", "succeeded"))
    if shown.condition not in QUIET and is_over and not things:
        return [f"it is {shown.condition}, and there is nothing of it"]
    if shown.condition == "up" and testbed.last != ("up", "succeeded"):
        return [f"it is up after {testbed.last}"]
    return []


def _guests(lab: Lab, state: State, shown: Shown) -> list[str]:
    expected = lab.expected(state)
    wanted = {g.name: (expected.status(g), g.host) for g in state.guests}
    if shown.guests == wanted:
        return []
    return [f"the hosts have the guests {wanted}"]


def _drift(lab: Lab, testbed: Testbed, state: State, shown: Shown) -> list[str]:
    if testbed.last[0] != "up":
        return [f"drift after {testbed.last}"] if shown.drift else []
    missing = lab.expected(state).missing()
    if testbed.last == ("up", "succeeded"):
        wanted = "partial" if missing else "up"
        if shown.condition != wanted:
            return [f"it should be {wanted}: {sorted(missing)}"]
    elif shown.condition != "partial":
        return []
    else:
        missing = frozenset(line.replace("is gone", "is missing") for line in missing)
    if shown.drift <= missing and len(shown.drift) + shown.more == len(missing):
        return []
    return [f"the hosts lack {sorted(missing)}"]


def _boots(lab: Lab) -> list[str]:
    """Compare the boot ids of all guests that can be entered."""
    reachable = _reachable(lab)
    with ThreadPoolExecutor(4) as pool:
        found = dict(
            zip(
                reachable,
                pool.map(lambda key: _boot(lab, *key), reachable),
                strict=True,
            )
        )
    silent = [key for key, boot in found.items() if not boot]
    if silent:
        lab.look()  # a Down that was cancelled may have pressed the power button
        silent = [key for key in silent if key in _reachable(lab)]
    problems = [f"guest {name} of {slug} does not answer" for slug, name in silent]
    for key, boot in found.items():
        is_kept = key in lab.boots and key not in lab.touched
        if boot and is_kept and lab.boots[key] != boot:
            problems.append(f"guest {key[1]} of {key[0]} was started again")
    for key in lab.touched:
        lab.boots.pop(key, None)
    lab.boots |= {key: boot for key, boot in found.items() if boot}
    return problems


def _reachable(lab: Lab) -> list[tuple[str, str]]:
    """Return testbed and name of each guest that runs and can be entered."""
    return [
        (testbed.slug, guest.name)
        for testbed, state in lab.states()
        for guest in state.guests
        if lab.expected(state).is_reachable(guest)
    ]


def _boot(lab: Lab, slug: str, name: str) -> str:
    """Return a guest's boot id once it answers; empty when it never does."""
    deadline = time.monotonic() + ANSWERS_WITHIN_S
    while time.monotonic() < deadline:
        try:
            return Guest(lab.stack, slug, name).boot
        except AssertionError:  # it still boots
            time.sleep(1)
    return ""
