"""`init` and `check` need no server."""

import json
from pathlib import Path

import pytest

from testbed.client.terminal.commands.init import EXAMPLES
from testbed.client.terminal.program import COMMANDS, run

BROKEN = """\
machines:
  - name: web
  - name: db
network:
  bridges: [{name: lan}]
"""


@pytest.mark.parametrize("example", sorted(path.name for path in EXAMPLES.iterdir()))
def test_every_example_is_made_and_has_no_error(example: str) -> None:
    assert run(["init", example]) == 0
    assert run(["check"]) == 0


def test_list_has_whole_sentences_and_names_what_up_refuses(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run(["init", "--list"]) == 0

    rows = dict(line.split("\t") for line in capsys.readouterr().out.splitlines())
    assert rows["quickstart"] == "Three guests of 128 MiB"
    assert rows["existing-disk"].endswith("`copied` a copy of its own")
    assert rows["phone"].endswith("on the same bridge (not built yet)")


def test_unknown_image_names_the_option_of_images_that_only_the_server_has(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(["init", "single"])
    yaml = folder / "kvm-compose.yaml"
    yaml.write_text(yaml.read_text().replace("test_guest", "ours"))

    assert run(["check"]) == 1
    assert "name it with --image NAME" in capsys.readouterr().err
    assert run(["check", "--image", "ours"]) == 0


def test_example_overwrites_nothing(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "kvm-compose.yaml").write_text("mine\n")

    assert run(["init"]) == 3
    assert "has kvm-compose.yaml already" in capsys.readouterr().err
    assert [path.name for path in folder.iterdir()] == ["kvm-compose.yaml"]
    assert (folder / "kvm-compose.yaml").read_text() == "mine\n"


def test_example_is_written_through_no_link(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "README.md").symlink_to(tmp_path / "none")

    assert run(["init"]) == 3
    assert "has README.md already" in capsys.readouterr().err
    assert not (tmp_path / "none").exists()


def test_example_is_written_into_no_linked_folder(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (folder / "scripts").symlink_to(outside)

    assert run(["init", "routed"]) == 3
    assert "is outside of" in capsys.readouterr().err
    assert not list(outside.iterdir())
    assert [path.name for path in folder.iterdir()] == ["scripts"]


def test_every_finding_is_printed_with_line_and_column(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "kvm-compose.yaml").write_text(BROKEN)

    code = run(["check"])

    lines = capsys.readouterr().out.splitlines()
    assert code == 1
    assert len(lines) == 2
    assert all(line.startswith("kvm-compose.yaml:") for line in lines)


def test_findings_are_json_for_programs(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "kvm-compose.yaml").write_text(BROKEN)

    assert run(["--json", "check"]) == 1
    findings = json.loads(capsys.readouterr().out)["findings"]
    assert {finding["line"] for finding in findings} == {2, 3}


def test_image_that_only_the_server_has_can_be_named(folder: Path) -> None:
    assert run(["init", "single"]) == 0
    yaml = folder / "kvm-compose.yaml"
    yaml.write_text(yaml.read_text().replace("test_guest", "mine"))

    assert run(["check"]) == 1
    assert run(["check", "--image", "mine"]) == 0


@pytest.mark.parametrize(
    "words", [["check"], ["check", "--input", "other.yaml"], ["nothing"], ["init", "x"]]
)
def test_wrong_use_has_its_own_exit_code(words: list[str]) -> None:
    assert run(words) == 2


def test_yaml_of_bytes_that_are_no_text_is_a_finding(folder: Path) -> None:
    (folder / "kvm-compose.yaml").write_bytes(b"\xff\x00")

    assert run(["check"]) == 1


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run([name, "--help"]) == 0
    assert "Usage: testbed" in capsys.readouterr().out


def test_folder_that_is_not_there_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--input", "nowhere/lab", "check"]) == 2
    assert "There is no nowhere/lab." in capsys.readouterr().err
