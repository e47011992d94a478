"""docs/terminal.cast is made by the real `testbed` process, and its picture from it.

`pytest --regenerate tests/live/test_recording.py` writes both anew. Otherwise a new
recording is compared with the file: the commands, and what ended in each.
"""

import re
import shutil
import sys

import pytest

from tests.live.recording import Recording, picture, structure, text_of
from tests.live.stack import CHECKOUT, Stack
from tests.live.test_terminal import Terminal, home, terminal  # noqa: F401 - fixtures

pytestmark = pytest.mark.live
CAST = CHECKOUT / "docs/terminal.cast"
PICTURE = CHECKOUT / "docs/terminal.svg"
TITLE = "testbed up"
STORY = ("check", "up", "status")


def test_recording_of_the_docs_is_what_the_program_does(
    terminal: Terminal,  # noqa: F811
    product: Stack,
    request: pytest.FixtureRequest,
) -> None:
    folder = terminal.folder.rename(terminal.folder.with_name("lab"))
    terminal.folder = folder
    recording = Recording()
    for word in STORY:
        code = recording.run(
            f"testbed {word}",
            [sys.executable, "-m", "testbed.client.terminal.program", word],
            folder=folder,
            environment=terminal.environment,
        )
        assert code == 0, recording.text
    terminal.run("down")
    terminal.run("testbeds", "destroy", "owner/lab", "--yes")

    cast = recording.cast(TITLE)
    assert not re.search(r"/tmp|/root|tb_\w{8}|127\.0\.0\.1", cast)
    if request.config.getoption("--regenerate"):
        if not shutil.which("tmux"):
            pytest.skip("not installed: tmux")
        CAST.write_text(cast)
        PICTURE.write_text(picture(recording.text, TITLE))
    assert structure(recording.text) == structure(text_of(CAST.read_text()))
    assert "owner/lab" in PICTURE.read_text().replace("&#x2F;", "/")


def test_structure_of_a_recording_is_its_last_board_without_times() -> None:
    first = "$ testbed up\r\n\x1b[32m✓ \x1b[0mPrepare  1.2 s\r\n✓ Check 2 hosts\r\n"
    second = (
        "\x1b[1A✓ 1 instruction before\r\n✓ Check 2 hosts  3 s\r\nRun 12 failed.\r\n"
    )

    found = structure(first + second)

    assert found == ["$ testbed up", "✓ Check hosts", "Run failed."]
