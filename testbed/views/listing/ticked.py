"""Acts on the testbeds that a user ticks in the list, as values: what is done, and to which.

Each testbed is asked for by itself, with the user's role in it: one that may not be
acted on is refused by its name, and the others go on. A name that the user does not see
is answered as one that does not exist.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum

from django.contrib.auth.models import User

from orchestration.amounts import count_of
from orchestration.errors import StateError, TestbedError
from orchestration.plan.model import Command, Options
from testbed.access.addresses import find_by_words
from testbed.access.permissions import (
    Act,
    NotAllowed,
    record_refusal,
    require,
)
from testbed.access.visibility import PAGE_SIZE
from testbed.expiry.changes import extend_once
from testbed.models import Run, Testbed
from testbed.models.expiry import database_now
from testbed.runs.starting import start_command
from testbed.testbeds.erasure.deletions import erased_testbed
from testbed.testbeds.erasure.disks import erased_by_up
from testbed.testbeds.erasure.losses import Erasure, Loss
from testbed.testbeds.files import delete_testbed, require_deletable

# Of a name with its account.
MOST_NAME = 200


class TickedAct(StrEnum):
    """The acts on ticked testbeds."""

    UP = "up"
    DOWN = "down"
    EXTEND = "extend"
    DELETE = "delete"

    @property
    def word(self) -> str:
        """Return it as a button's word."""
        return self.value.capitalize()

    @property
    def permission(self) -> Act:
        """Return what the user has to be allowed in each testbed."""
        own = {TickedAct.DELETE: Act.DELETE, TickedAct.EXTEND: Act.EXTEND}
        return own.get(self, Act.UP)


@dataclass(frozen=True, slots=True)
class Choice:
    """An act on some testbeds; `erasures` are theirs by their ids, where it erases.

    `refused` has the reason for each name that is left out, `tools` the runs that end.
    """

    act: TickedAct
    testbeds: tuple[Testbed, ...]
    refused: Mapping[str, TestbedError]
    erasures: Mapping[int, Erasure]
    tools: tuple[Run, ...] = ()

    @property
    def names(self) -> str:
        """Return the testbeds that are acted on, as words."""
        return ", ".join(map(str, self.testbeds))

    @property
    def tools_digest(self) -> str:
        """Return the tools that end, for the form's answer."""
        return ",".join(str(run.pk) for run in self.tools)

    @property
    def erasure(self) -> Erasure:
        """Return all that dies, each thing with its testbed's name."""
        losses = tuple(
            _of(testbed, loss)
            for testbed in self.testbeds
            if testbed.pk in self.erasures
            for loss in self.erasures[testbed.pk].losses
        )
        looks = [one.seen_at for one in self.erasures.values() if one.seen_at]
        found = Erasure(
            f"ticked-{self.act}",
            ",".join(str(testbed.pk) for testbed in self.testbeds),
            losses,
            kept=tuple(self._sentences()),
            seen_at=min(looks, default=None),
        )
        one = self.testbeds[0].name if len(self.testbeds) == 1 else ""
        typed = one or count_of(len(self.testbeds), "testbed")
        return replace(found, must_type=typed if found.disks else "")

    def _sentences(self) -> Iterable[str]:
        for testbed in self.testbeds:
            kept = self.erasures[testbed.pk].kept if testbed.pk in self.erasures else ()
            yield from (f"{testbed}: {sentence}" for sentence in kept)
        for run in self.tools:
            yield f"{run.testbed}: {run.name} of {run.asker} (run {run.pk}) is ended."
        for name, problem in self.refused.items():
            yield f"{name} is left out: {problem.sentence}"


@dataclass(slots=True)
class Result:
    """The testbeds on which an act was done, or began, and the reasons of the others."""

    done: list[str] = field(default_factory=list)
    refused: dict[str, TestbedError] = field(default_factory=dict)


def chosen(user: User, act: str, names: Iterable[str]) -> Choice:
    """Return what an act would do to the testbeds of these names.

    Raises: StateError (no such act, none or too many testbeds).
    """
    if act not in set(TickedAct):
        raise StateError(
            "There is no such act.", hint="Use up, down, extend or delete."
        )
    wanted, ticked = TickedAct(act), _bounded(names)
    visible = Testbed.objects.all().visible_to(user).select_related("expiry")
    rows = find_by_words(visible, ticked, user)
    found, refused, erasures = [], dict[str, TestbedError](), dict[int, Erasure]()
    for name in ticked:
        try:
            testbed = _allowed(user, wanted, rows.get(name), name)
            if erasure := _erased(wanted, testbed):
                erasures[testbed.pk] = erasure
            found.append(testbed)
        except TestbedError as exc:
            refused[str(rows.get(name) or name)] = exc
    tools = _tools(found, user) if wanted is TickedAct.DOWN else ()
    return Choice(wanted, tuple(found), refused, erasures, tools)


def carry_out(choice: Choice, user: User) -> Result:
    """Do it to one testbed after the other; one that refuses stops no other."""
    result = Result(refused=dict(choice.refused))
    for testbed in choice.testbeds:
        erasure = choice.erasures.get(testbed.pk)
        try:
            _act(choice.act, testbed, user, erasure.token if erasure else "")
        except NotAllowed as exc:  # the role was taken meanwhile
            record_refusal(user, exc, f"{choice.act.word}, ticked in the list")
            result.refused[str(testbed)] = exc.problem
        except Testbed.DoesNotExist:  # deleted meanwhile
            result.refused[str(testbed)] = _unknown(str(testbed))
        except TestbedError as exc:
            result.refused[str(testbed)] = exc
        else:
            result.done.append(str(testbed))
    return result


def _bounded(names: Iterable[str]) -> list[str]:
    """Return the names, each once. Raises: StateError (none, or too many)."""
    ticked = sorted({name.replace("\0", "")[: MOST_NAME + 1] for name in names})
    if not ticked:
        raise StateError("No testbed is ticked.", hint="Tick some in the list.")
    if len(ticked) > PAGE_SIZE:
        raise StateError(
            f"{len(ticked)} testbeds are ticked; {PAGE_SIZE} at once are possible.",
            hint="Tick fewer.",
        )
    return ticked


def _allowed(user: User, act: TickedAct, testbed: Testbed | None, name: str) -> Testbed:
    """Return a testbed on which the user may act. Raises: TestbedError."""
    if testbed is None:
        raise _unknown(name)
    try:
        require(user, act.permission, testbed)
    except NotAllowed as exc:
        record_refusal(user, exc, f"{act.word}, ticked in the list")
        raise exc.problem from exc
    return testbed


def _unknown(name: str) -> StateError:
    return StateError(
        f"There is no testbed {name}, or none that you see.",
        hint="Load the list again.",
    )


def _erased(act: TickedAct, testbed: Testbed) -> Erasure | None:
    """Return what an act erases of a testbed. Raises: TestbedError (it is refused)."""
    if act is TickedAct.UP:
        return erased_by_up(testbed, Options())
    if act in (TickedAct.DOWN, TickedAct.EXTEND):
        return None
    require_deletable(testbed)
    return erased_testbed(testbed)


def _act(act: TickedAct, testbed: Testbed, user: User, confirm: str) -> None:
    """Do it to one testbed, and record it. Raises: TestbedError."""
    if act is TickedAct.DELETE:
        delete_testbed(testbed, user, confirm=confirm)
        return
    if act is TickedAct.EXTEND:
        extend_once(testbed, user, database_now())
        return
    start_command(testbed, user, Command(act.value), Options(), confirm=confirm)


def _tools(testbeds: Iterable[Testbed], user: User) -> tuple[Run, ...]:
    """Return the tools that Down ends, as far as the user sees them."""
    runs = Run.objects.tools().visible_to(user).filter(testbed__in=list(testbeds))
    people = runs.select_related("testbed__owner", "asked_by").defer("plan")
    return tuple(people.order_by("pk"))


def _of(testbed: Testbed, loss: Loss) -> Loss:
    """Return a loss with its testbed's name: several have a guest of one name."""
    return replace(loss, name=f"{testbed}: {loss.name}")
