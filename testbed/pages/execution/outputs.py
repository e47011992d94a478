"""The outputs of a command's guests: as the files of an archive, and two compared."""

from collections.abc import Iterator
from itertools import chain

from orchestration.errors import StateError
from orchestration.events import Stream
from orchestration.instructions.execution.answers import answer_lines
from testbed.models import Run, Task
from testbed.pages.execution.answers import Answers, answer_file
from testbed.pages.execution.answers_json import joined, json_texts
from testbed.pages.execution.differences import Difference, difference
from testbed.pages.streaming import File
from testbed.runs.event_rows import clean


def compare_outputs(one: tuple[Run, str], other: tuple[Run, str]) -> Difference:
    """Compare two guests' outputs, each of a run. Raises: StateError (one has none)."""
    return difference(_lines(*one), _lines(*other))


def archived_answers(run: Run, answers: Answers, folder: str) -> Iterator[File]:
    """Yield an archive's files: a table, and each guest's output and its stderr."""
    yield f"{folder}/answers.json", joined(json_texts(run, answers, has_output=False))
    for block in answers.blocks:
        for task in block.tasks:
            path = answer_file(run, task)
            if not task.answer or not path.is_file():
                continue
            name = f"{folder}/{task.resource}"
            yield f"{name}.txt", joined(f"{t}\n" for _, t in answer_lines(path))
            errors = (f"{t}\n" for s, t in answer_lines(path) if s is Stream.STDERR)
            if first := next(errors, ""):
                yield f"{name}.stderr.txt", joined(chain([first], errors))


def _lines(run: Run, guest: str) -> Iterator[tuple[Stream, str]]:
    task = Task.objects.filter(instruction__run=run, resource=clean(guest)).first()
    if task is None:
        raise StateError(f"Guest {guest} has no answer in run {run.pk}.")
    path = answer_file(run, task)
    if task.answer and task.answer["lines"] and not path.is_file():
        raise StateError(
            f"The output of {guest} was removed with the log of run {run.pk}."
        )
    return answer_lines(path) if path.is_file() else iter(())
