"""The command bar of a testbed's page: its files, and the commands to recall."""

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from orchestration.plan.execution import Form
from orchestration.plan.model import Command
from orchestration.project.folder import YAML_NAME
from testbed.models import Testbed
from testbed.testbeds.stored_files import list_files

RECALLED = 30
READ_RUNS = 100


@dataclass(frozen=True, slots=True)
class Earlier:
    """A command that ran in this testbed before, as it was typed."""

    form: str
    line: str


@dataclass(frozen=True, slots=True)
class CommandBar:
    """The choices of the bar; `folders` are those that have files."""

    files: tuple[str, ...]
    folders: tuple[str, ...]
    scripts: tuple[str, ...]
    earlier: tuple[Earlier, ...]


def command_bar(testbed: Testbed) -> CommandBar:
    """Return the bar of a testbed (one query; pasted scripts are not read)."""
    files = tuple(list_files(testbed))
    above = {str(place) for path in files for place in PurePosixPath(path).parents}
    scripts = tuple(path for path in files if path != YAML_NAME)
    folders = tuple(sorted(above - {"."}))
    return CommandBar(files, folders, scripts, earlier_commands(testbed))


def earlier_commands(testbed: Testbed) -> tuple[Earlier, ...]:
    """Return the commands and shell lines that ran, the last one first, each once."""
    runs = testbed.runs.filter(command=Command.EXEC).order_by("-pk")[:READ_RUNS]
    found = (
        Earlier(form, line_of(form, words))
        for form, words in runs.values_list("options__form", "options__words")
        if form in (Form.COMMAND, Form.SHELL)
    )
    return tuple(dict.fromkeys(found))[:RECALLED]


def line_of(form: str, words: Sequence[str]) -> str:
    """Return the words of a command as its line is typed."""
    return "".join(words[:1]) if form == Form.SHELL else shlex.join(words)
