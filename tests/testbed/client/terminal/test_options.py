"""An option before the command, behind it, and in the environment."""

import click
import pytest

from testbed.client.terminal.options import Settings, common, settings


def chosen(*words: str) -> Settings:
    """Return the settings of a command below a group, both with the common options."""
    found: list[Settings] = []

    @click.group()
    @common
    def program() -> None:
        """Stand for the program."""

    @program.command()
    @common
    def act() -> None:
        found.append(settings())

    program.main(words, standalone_mode=False, obj=Settings())
    return found[0]


@pytest.mark.parametrize(
    ("words", "name"),
    [
        (("act",), "production"),
        (("--project-name", "scratch", "act"), "scratch"),
        (("act", "--project-name", "scratch"), "scratch"),
        (("--project-name", "lab", "act", "--project-name", "scratch"), "scratch"),
    ],
)
def test_option_wins_over_the_environment_wherever_it_is_written(
    monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], name: str
) -> None:
    monkeypatch.setenv("TESTBED_PROJECT", "production")

    assert chosen(*words).project_name == name
