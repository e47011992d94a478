"""The command bar of a testbed's page: its files, and the commands to recall."""

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from django.contrib.auth.models import User
from django.db.models.fields.json import KT
from django.db.models.functions import Length

from orchestration.plan.execution import Form
from orchestration.plan.model import Command
from orchestration.project.folder import YAML_NAME
from orchestration.state.model import HostState, State
from testbed.access.permissions import Act, may
from testbed.models import Testbed
from testbed.testbeds.stored_files import list_files

RECALLED = 30
READ_RUNS = 100
# A command may have a mebibyte, and every look at the page reads all of these.
MOST_CHARACTERS = 4096


@dataclass(frozen=True, slots=True)
class Earlier:
    """A command that ran in this testbed before, as it was typed."""

    form: str
    line: str


@dataclass(frozen=True, slots=True)
class CommandBar:
    """The choices of the bar; `folders` are those that have files.

    `hosts` are the hosts that the user may choose, with their accounts.
    """

    files: tuple[str, ...]
    folders: tuple[str, ...]
    scripts: tuple[str, ...]
    earlier: tuple[Earlier, ...]
    hosts: tuple[str, ...] = ()


def command_bar(testbed: Testbed, user: User, state: State | None) -> CommandBar:
    """Return a user's bar of a testbed (one query; pasted scripts are not read)."""
    files = tuple(list_files(testbed))
    above = {str(place) for path in files for place in PurePosixPath(path).parents}
    scripts = tuple(path for path in files if path != YAML_NAME)
    folders = tuple(sorted(above - {"."}))
    hosts: tuple[str, ...] = ()
    if state and may(user, Act.EXECUTE_ON_HOSTS, testbed):
        hosts = tuple(map(_with_account, state.used_hosts))
    earlier = earlier_commands(testbed, user)
    return CommandBar(files, folders, scripts, earlier, hosts)


def _with_account(host: HostState) -> str:
    account = "the workers' account" if host.is_main else host.user
    return f"{host.name} as {account}"


def earlier_commands(testbed: Testbed, user: User) -> tuple[Earlier, ...]:
    """Return the commands and shell lines that ran, the last one first, each once.

    Very long ones are left out.
    """
    forms = (Form.COMMAND.value, Form.SHELL.value)
    found = testbed.runs.filter(command=Command.EXEC, options__form__in=forms)
    measured = found.visible_to(user).annotate(characters=Length(KT("options__words")))
    short = measured.filter(characters__lte=MOST_CHARACTERS)
    runs = short.order_by("-pk")[:READ_RUNS]
    earlier = (
        Earlier(form, line_of(form, words))
        for form, words in runs.values_list("options__form", "options__words")
    )
    return tuple(dict.fromkeys(earlier))[:RECALLED]


def line_of(form: str, words: Sequence[str]) -> str:
    """Return the words of a command as its line is typed."""
    return "".join(words[:1]) if form == Form.SHELL else shlex.join(words)
