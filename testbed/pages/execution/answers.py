"""The answers that guests gave to a command, folded: equal ones are one block.

Blocks follow from the rows of the run's tasks (exit code and digest); a file is read
only for a block that is shown, and of it only the lines that are shown. The run's page,
its fragments, the JSON for programs and the archive all come from here.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from hashlib import sha256
from itertools import islice
from pathlib import Path

from orchestration.events import Answer, Stream
from orchestration.instructions.execution.answers import answer_lines
from orchestration.plan.model import Command
from orchestration.state.selection import fold
from testbed.models import Run, Task

SHOWN_LINES = 20
SHOWN_CHARACTERS = 2000
# Failures first.
ORDER = (
    Task.Status.FAILED,
    Task.Status.CANCELLED,
    Task.Status.SKIPPED,
    Task.Status.WARNING,
    Task.Status.DONE,
    Task.Status.UNCHANGED,
)
OPEN = (Task.Status.WAITING, Task.Status.RUNNING)
Line = tuple[int, Stream, str]


@dataclass(frozen=True, slots=True)
class Excerpt:
    """Some lines of an output with their numbers; `total` is how many there are."""

    lines: tuple[Line, ...]
    total: int

    @property
    def hidden(self) -> int:
        """The number of lines that are not shown."""
        return self.total - len(self.lines)


@dataclass(frozen=True)
class Block:
    """Guests with equal answers. `is_odd`: most guests answered something else.

    `of_tool`: a stop is its usual end, and no failure.
    """

    tasks: tuple[Task, ...]
    is_odd: bool = False
    of_tool: bool = False

    @property
    def first(self) -> Task:
        """The task whose output stands for all."""
        return self.tasks[0]

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The guests, in the order of the plan."""
        return tuple(task.resource for task in self.tasks)

    @cached_property
    def folded(self) -> str:
        """The guests in one pattern."""
        return fold(self.names)

    @property
    def count(self) -> int:
        """The number of guests."""
        return len(self.tasks)

    @cached_property
    def answer(self) -> Answer | None:
        """The exit code and the size of the output; None when nothing ran."""
        return Answer(**self.first.answer) if self.first.answer else None

    @cached_property
    def by_agent(self) -> tuple[str, ...]:
        """The guests that answered through their QEMU agent."""
        answers = ((task.resource, task.answer or {}) for task in self.tasks)
        return tuple(name for name, answer in answers if answer.get("by_agent"))

    @property
    def by_agent_folded(self) -> str:
        """These guests in one pattern."""
        return fold(self.by_agent)

    @property
    def status(self) -> str:
        """The status of each of its tasks."""
        return self.first.status

    @property
    def is_failed(self) -> bool:
        """Return whether the command did not succeed there."""
        return self.status in ORDER[:3] and not self.is_stopped

    @property
    def is_stopped(self) -> bool:
        """Return whether a tool was stopped there."""
        return self.of_tool and self.status == Task.Status.CANCELLED

    @property
    def shown_status(self) -> str:
        """The status in words."""
        return "stopped" if self.is_stopped else self.status

    @cached_property
    def message(self) -> str:
        """The message of the tasks, with all their guests in it."""
        return _about(self.first, self.folded, self._hosts)

    @property
    def reason(self) -> str:
        """The message without the exit code, which is shown beside it."""
        code = self.answer.exit_code if self.answer else None
        return self.message.removeprefix(f"exit code {code}").removeprefix(": ")

    @property
    def _hosts(self) -> str:
        return fold({task.host for task in self.tasks})

    @cached_property
    def seconds(self) -> tuple[float, float]:
        """The shortest and the longest duration."""
        found = [task.seconds for task in self.tasks]
        return min(found), max(found)

    @cached_property
    def key(self) -> str:
        """A name for the block's element on the page, the same while it grows."""
        return sha256(repr(_likeness(self.first)).encode()).hexdigest()[:12]


@dataclass(frozen=True, slots=True)
class Answers:
    """All blocks of a run, and the guests that have not answered yet."""

    blocks: tuple[Block, ...]
    running: tuple[str, ...]
    waiting: tuple[str, ...]

    @property
    def over(self) -> int:
        """The number of guests whose task is over."""
        return sum(block.count for block in self.blocks)

    @property
    def total(self) -> int:
        """The number of guests."""
        return self.over + len(self.running) + len(self.waiting)

    @property
    def failed(self) -> int:
        """The number of guests on which it did not succeed."""
        return sum(block.count for block in self.blocks if block.is_failed)

    @property
    def failed_names(self) -> tuple[str, ...]:
        """The guests on which it did not succeed."""
        return tuple(n for block in self.blocks if block.is_failed for n in block.names)

    @property
    def running_folded(self) -> str:
        """The guests in which it runs now."""
        return fold(self.running)

    @property
    def waiting_folded(self) -> str:
        """The guests whose turn has not come."""
        return fold(self.waiting)

    def block_of(self, guest: str) -> Block | None:
        """Return the block that has a guest."""
        return next((block for block in self.blocks if guest in block.names), None)


def answers_of(run: Run) -> Answers:
    """Return the answers of a run as they are now (one query)."""
    found = Task.objects.filter(instruction__run=run).order_by(
        "instruction__index", "id"
    )
    groups: dict[object, list[Task]] = defaultdict(list)
    unfinished: dict[str, list[str]] = defaultdict(list)
    for task in found.defer("detail"):
        if run.is_over and task.status in OPEN:
            task.status = Task.Status.SKIPPED
            task.message = "Not begun."
        if task.status in OPEN:
            unfinished[task.status].append(task.resource)
        else:
            groups[_likeness(task)].append(task)
    return Answers(
        tuple(_in_order(groups.values(), of_tool=run.is_tool)),
        tuple(unfinished[Task.Status.RUNNING]),
        tuple(unfinished[Task.Status.WAITING]),
    )


def answer_file(run: Run, task: Task) -> Path:
    """Return the file of a guest's answer, which may be gone."""
    return run.testbed.project.answers(run.pk) / task.resource


def excerpt(run: Run, block: Block) -> Excerpt | None:
    """Return the first lines of a block's output.

    None when nothing was printed, or it was removed with the run's log.
    """
    answer, path = block.answer, answer_file(run, block.first)
    if answer is None or not answer.lines or not path.is_file():
        return None
    lines = ((n, s, t) for n, (s, t) in enumerate(answer_lines(path), 1))
    return Excerpt(tuple(map(shortened, islice(lines, SHOWN_LINES))), answer.lines)


def shortened(line: Line) -> Line:
    """Return a line with the first characters of its text."""
    number, stream, text = line
    if len(text) <= SHOWN_CHARACTERS:
        return line
    more = len(text) - SHOWN_CHARACTERS
    return number, stream, f"{text[:SHOWN_CHARACTERS]}… {more:,} more characters"


def previous_run(run: Run) -> Run | None:
    """Return the testbed's last run of the same command before a run."""
    before = Run.objects.filter(
        testbed=run.testbed_id, command=Command.EXEC, title=run.title, pk__lt=run.pk
    ).exclude(status__in=Run.ACTIVE)
    wanted = _command(run)
    recent = before.select_related("testbed__owner").defer("plan")[:20]
    return next((found for found in recent if _command(found) == wanted), None)


def changed_since(answers: Answers, before: Answers) -> tuple[str, ...]:
    """Return the guests that answered something else in an earlier run."""
    old = {task.resource: _likeness(task) for b in before.blocks for task in b.tasks}
    return tuple(
        task.resource
        for block in answers.blocks
        for task in block.tasks
        if task.resource in old and old[task.resource] != _likeness(task)
    )


def _likeness(task: Task) -> tuple[object, ...]:
    """Return what equal answers have in common."""
    if task.answer and task.answer["exit_code"] is not None:
        return task.status, task.answer["exit_code"], task.answer["digest"]
    digest = task.answer["digest"] if task.answer else ""
    return task.status, _about(task, "*", "*"), digest


def _about(task: Task, guest: str, host: str) -> str:
    """Return a task's message with other words for its guest and its host."""
    words = {task.host: host, task.resource: guest}
    names = "|".join(map(re.escape, sorted(words, key=len, reverse=True)))
    return re.sub(
        rf"(?<![\w.-])(?:{names})(?![\w-])", lambda found: words[found[0]], task.message
    )


def _in_order(groups: Iterable[list[Task]], *, of_tool: bool) -> Iterator[Block]:
    """Yield failures first; of each kind the rare answers, which are odd, first."""
    blocks = [Block(tuple(tasks), of_tool=of_tool) for tasks in groups]
    good = [block.count for block in blocks if not block.is_failed]
    most = max(good, default=0)
    for block in sorted(blocks, key=_place):
        is_odd = not block.is_failed and 2 * block.count <= most
        yield replace(block, is_odd=is_odd)


def _place(block: Block) -> tuple[int, int]:
    return ORDER.index(Task.Status(block.status)), block.count


def _command(run: Run) -> dict[str, object]:
    """Return what a run did, wherever and under whatever limits."""
    conditions = run.options.get("conditions", {})
    same = ("form", "words", "path", "text", "target")
    alike = ("user", "sudo", "env", "folder", "stdin")
    return {name: run.options.get(name) for name in same} | {
        "is_on_hosts": run.is_on_hosts,
        **{name: conditions.get(name) for name in alike},
    }
