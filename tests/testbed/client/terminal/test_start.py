"""A command starts at once: it imports the packages that it uses, and no other."""

import subprocess
import sys
from pathlib import Path

import pytest

import testbed.client

CHECKOUT = Path(testbed.client.__file__).parents[2]
YAML = "machines: []\nnetwork: {bridges: [{name: lan}], external_bridge: lan}\n"
PRINT_MODULES = """
import sys
from testbed.client.terminal.program import run
code = run(sys.argv[1:])
print(*sorted(one for one in sys.modules if sys.modules[one]), file=sys.stderr)
sys.exit(code)
"""


def modules_of(*words: str) -> tuple[set[str], str]:
    """Return the modules that a command imports, and its output."""
    done = subprocess.run(
        [sys.executable, "-c", PRINT_MODULES, *words],
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return set(done.stderr.splitlines()[-1].split()), done.stdout


def packages_of(modules: set[str]) -> set[str]:
    return {name.partition(".")[0] for name in modules}


def test_help_imports_click_alone() -> None:
    modules, said = modules_of("--help")

    packages = packages_of(modules)
    assert "reservations" in said
    assert "click" in packages
    assert not packages & {"httpx", "rich", "websockets", "pydantic", "ruamel", "yaml"}
    assert not packages & {"django", "asyncio", "ssl"}
    assert not {name for name in modules if ".terminal.commands" in name}


def test_check_imports_neither_a_screen_nor_a_connection(tmp_path: Path) -> None:
    (tmp_path / "kvm-compose.yaml").write_text(YAML)

    modules, _ = modules_of("--input", str(tmp_path), "check")

    packages = packages_of(modules)
    assert {"pydantic", "yaml"} <= packages
    assert not packages & {"httpx", "rich", "websockets", "ssl", "asyncio", "textual"}


@pytest.mark.parametrize("command", ["status", "hosts", "quota"])
def test_question_to_the_server_imports_no_language(
    tmp_path: Path, command: str
) -> None:
    modules, _ = modules_of(command, "--help")

    assert "httpx" in modules
    packages = packages_of(modules)
    assert not packages & {"textual", "django", "libvirt", "paramiko", "rich"}
    assert "pygments" not in packages
    assert not {"pydantic", "yaml", "websockets.sync.client"} & modules
