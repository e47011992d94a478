"""Describes the packets or the output that a stopped tool has left.

Reads rows and the size of one file. Used by the words of a run's end and by its page.
"""

from pathlib import Path

from orchestration.amounts import count_of, size
from orchestration.instructions.execution.captures import FILE
from testbed.models import Run, Task


def capture_file(run: Run) -> Path:
    """Return the file of a capture, which may not be there yet, or be gone."""
    return run.testbed.project.answers(run.pk) / FILE


def captured(run: Run) -> str:
    """Count the packets of a capture, and their bytes, as they are now."""
    tasks = Task.objects.filter(instruction__run=run)
    packets = count_of(sum(tasks.values_list("done", flat=True)), "packet")
    try:
        return f"{packets}, {size(capture_file(run).stat().st_size)}"
    except FileNotFoundError:
        return packets


def kept_words(run: Run) -> str:
    """Say in a sentence what a tool has left, and where."""
    if run.is_capture:
        return f"{captured(run)}: see Packets."
    tasks = Task.objects.filter(instruction__run=run)
    answers = [found for found in tasks.values_list("answer", flat=True) if found]
    if not (lines := sum(answer["lines"] for answer in answers)):
        return "It printed nothing."
    taken = size(sum(answer["size_bytes"] for answer in answers))
    return f"{count_of(lines, 'line')} of output, {taken}: see Answers."
