"""The set-up of the editor's CodeMirror: built once, and never in the way of the rest.

A stand-in for npm notes how it was called; the real one runs in script/test itself.
"""

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parents[1]
# A package and its version; extras and markers do not count.
PINNED = re.compile(r"^([A-Za-z0-9._-]+)(?:\[\w+\])?(==[^\s;\\]+)", re.M)
# A line that begins a package, and goes on with its hashes, or one of these.
HASHED = re.compile(r" \\$|^    --hash=sha256:[0-9a-f]{64}( \\)?$")
SET_UP = '. "$0/common.sh"; . "$0/packages.sh"; ensure_front_end; echo goes on'
NPM = """\
#!/bin/sh
echo "$1" >> "{calls}"
[ ! -e "{folder}/unreachable" ]
"""


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy of what the set-up reads, with an npm that only notes its calls."""
    for folder in ("script/lab", "front_end"):
        ignored = shutil.ignore_patterns("node_modules")
        shutil.copytree(CHECKOUT / folder, tmp_path / folder, ignore=ignored)
    (tmp_path / "static/vendor").mkdir(parents=True)
    npm = tmp_path / "bin/npm"
    npm.parent.mkdir()
    npm.write_text(NPM.format(calls=tmp_path / "calls", folder=tmp_path))
    npm.chmod(0o755)
    return tmp_path


def set_up(checkout: Path) -> subprocess.CompletedProcess[str]:
    words = ["bash", "-euo", "pipefail", "-c", SET_UP, str(checkout / "script/lab")]
    path = f"{checkout}/bin:{os.environ['PATH']}"
    environment = os.environ | {"PATH": path}
    return subprocess.run(
        words, env=environment, capture_output=True, text=True, check=True
    )


def calls(checkout: Path) -> list[str]:
    file = checkout / "calls"
    return file.read_text().split() if file.exists() else []


def test_editor_is_built_again_only_when_its_packages_change(checkout: Path):
    set_up(checkout)
    set_up(checkout)
    assert calls(checkout) == ["ci", "run"]

    with (checkout / "front_end/package-lock.json").open("a") as lock:
        lock.write("\n")
    set_up(checkout)

    assert calls(checkout) == ["ci", "run", "ci", "run"]


def test_set_up_goes_on_without_the_editor_and_says_so(checkout: Path):
    (checkout / "unreachable").touch()

    done = set_up(checkout)

    assert "the editor is a plain text area" in done.stderr
    assert done.stdout.endswith("goes on\n")
    (checkout / "unreachable").unlink()
    set_up(checkout)
    assert calls(checkout) == ["ci", "ci", "run"]


def test_lock_file_names_no_registry():
    lock = json.loads((CHECKOUT / "front_end/package-lock.json").read_text())

    packages = [entry for path, entry in lock["packages"].items() if path]

    assert packages
    assert all("integrity" in entry for entry in packages)
    assert not any("resolved" in entry for entry in packages)


def pinned(text: str) -> set[tuple[str, str]]:
    """Return packages by their normal names, and their versions."""
    found = PINNED.findall(text)
    return {(re.sub("[-_.]+", "-", name).lower(), version) for name, version in found}


@pytest.mark.parametrize("name", ["requirements", "requirements-dev"])
def test_lock_has_hashes_of_what_is_required_and_names_no_registry(name: str):
    lock = (CHECKOUT / f"{name}.lock").read_text()
    required = pinned((CHECKOUT / f"{name}.txt").read_text())

    assert required
    assert required <= pinned(lock)
    unhashed = [line for line in lock.splitlines() if not HASHED.search(line)]
    assert unhashed == []
    assert "://" not in lock


def test_demo_explains_its_options() -> None:
    demo = ["bash", str(CHECKOUT / "script/demo")]

    helped = subprocess.run([*demo, "--help"], capture_output=True, text=True)
    refused = subprocess.run([*demo, "--hlep"], capture_output=True, text=True)

    assert helped.returncode == 0
    assert "script/demo --clean          remove everything" in helped.stdout
    assert "set -euo pipefail" not in helped.stdout
    assert refused.returncode == 1
    assert "script/demo --help says which there are." in refused.stderr
