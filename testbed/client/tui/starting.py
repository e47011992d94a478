"""Starts a command of a testbed: the question before, and the folder that is sent first.

As the commands do, `up` and `generate-artefacts` bring the files of the testbed's folder
to the server before, plan with them, and stop at a conflict, which is shown.
"""

from collections.abc import Callable

from orchestration.plan.model import Command, Options
from testbed.client.rest.addresses import path_of
from testbed.client.rest.server import Server, StartedRun
from testbed.client.terminal.synchronising import Folder, synchronised
from testbed.client.tui.asking import Told, told
from testbed.client.tui.base import LabScreen
from testbed.client.tui.questions import Question
from testbed.client.tui.runs.run import RunScreen
from testbed.client.tui.words import safe

# Command, its name on pages, and what it does.
COMMANDS = {
    "up": ("Up", "Its guests are started; what changed in the YAML is applied."),
    "down": ("Down", "Its guests are stopped; disks and artefacts stay."),
    "generate-artefacts": ("Generate artefacts", "No host is touched."),
    "clear-artefacts": (
        "Delete disks and artefacts",
        "The server says first what is erased.",
    ),
}
OF_UP = {
    "provision": "Recreate disks, which erases their data",
    "rerun_scripts": "Run scripts again that ran before",
}
_WITH_FILES = ("up", "generate-artefacts")


def ask_to_start(screen: LabScreen, testbed: str, command: str) -> None:
    """Ask whether to start a command, and its options; then start and open the run."""
    title, words = COMMANDS[command]
    place = screen.lab.folder_of(testbed) if command in _WITH_FILES else None
    if place:
        words += f"\nIts changed files are sent first, from {safe(place.path, 200)}"
    question = Question(
        f"{title} of {testbed}.\n{words}",
        title,
        OF_UP if command == "up" else None,
        is_grave=command == "clear-artefacts",
    )

    def answered(agrees: bool | None) -> None:
        if agrees:
            _start(screen, testbed, command, question.chosen)

    screen.app.push_screen(question, answered)


def _start(
    screen: LabScreen, testbed: str, command: str, chosen: dict[str, bool]
) -> None:
    def opened(run: StartedRun) -> None:
        screen.app.push_screen(RunScreen(screen.lab, run.number, run))

    screen.act(_work(screen, testbed, command, chosen), opened)


def _work(
    screen: LabScreen, testbed: str, command: str, chosen: dict[str, bool]
) -> Callable[[Server], StartedRun]:
    """Return what sends the folder, if it is the testbed's, and starts the run."""

    def say(words: str) -> None:
        told(screen.post_message, Told(words))

    def show(words: str) -> None:
        told(screen.post_message, Told(words, is_passing=True))

    def work(server: Server) -> StartedRun:
        wish: dict[str, object] = {"command": command, **chosen}
        place = screen.lab.folder_of(testbed) if command in _WITH_FILES else None
        if place:
            folder = Folder(server, place.path, lambda: place.account, say, show)
            inputs = synchronised(folder, testbed)
            options = Options(
                provision=chosen.get("provision", False),
                rerun_scripts=chosen.get("rerun_scripts", False),
            )
            plan = inputs.planned(place.path, Command(command), options)
            if plan is not None:
                wish["plan"] = plan
        return server.start(path_of(testbed, "runs"), wish)

    return work
