"""docs/cli.md is what the program says of itself; `--regenerate` writes it anew."""

import re
from pathlib import Path

import click
import pytest

import testbed
from testbed.client.terminal.program import COMMANDS, program
from testbed.client.terminal.reference import page

PAGE = Path(testbed.__file__).parents[1] / "docs" / "cli.md"


def test_page_is_made_from_the_program(request: pytest.FixtureRequest) -> None:
    if request.config.getoption("--regenerate"):
        PAGE.write_text(page(), encoding="utf-8")

    assert PAGE.read_text(encoding="utf-8") == page()


def test_every_command_is_on_the_page() -> None:
    heads = set(re.findall(r"^### (\S+)", page(), re.MULTILINE))

    assert heads == set(COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_sentence_in_the_list_of_commands_is_one(name: str) -> None:
    command = program.get_command(click.Context(program), name)

    assert command is not None
    assert COMMANDS[name][1].endswith(".")
    assert command.help
