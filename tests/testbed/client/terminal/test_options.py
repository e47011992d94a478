"""An option before the command, behind it, and in the environment."""

from pathlib import Path

import click
import pytest

from testbed.client.terminal.options import Settings, common, settings
from testbed.client.terminal.program import run
from testbed.client.terminal.tokens import SignedIn, Tokens


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


def test_name_of_a_testbed_that_is_no_text_is_one_sentence(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Tokens.of_user().keep(SignedIn("http://127.0.0.1:9", "olive", "tb_x"))

    assert run(["status", "--project-name", "caf\udce9"]) == 1

    assert capsys.readouterr().err.startswith("Error: A name or a text is not in UTF-8")


@pytest.mark.parametrize(("word", "near"), [("uo", "up"), ("stauts", "status")])
def test_word_that_is_no_command_names_the_closest(
    word: str, near: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run([word]) == 2

    assert near in capsys.readouterr().err.partition("Is it")[2]


def test_word_that_is_like_no_command_names_none(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run(["zzzzzz"]) == 2

    assert "Is it" not in capsys.readouterr().err


@pytest.mark.parametrize("target", ["kvm-compose.yaml", "key"])
@pytest.mark.parametrize(
    "words", [("check",), ("check", "--input", "."), ("sync",), ("status",)]
)
def test_yaml_that_is_a_link_leads_out_of_no_folder(
    folder: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    target: str,
    words: tuple[str, ...],
) -> None:
    """Its target would be sent as the YAML, or its target's folder as the testbed."""
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / target).write_text("secret: of another folder")
    (folder / "kvm-compose.yaml").unlink(missing_ok=True)
    (folder / "kvm-compose.yaml").symlink_to(outside / target)
    Tokens.of_user().keep(SignedIn("http://127.0.0.1:9", "olive", "tb_x"))

    assert run([*words, "--project-name", "lab"]) == 2

    told = capsys.readouterr().err
    assert f"Error: kvm-compose.yaml in {folder} is a link." in told
