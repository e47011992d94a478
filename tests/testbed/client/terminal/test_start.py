"""`testbed --help` starts at once: it imports no command, and click alone of packages."""

import subprocess
import sys
from pathlib import Path

import testbed.client

CHECKOUT = Path(testbed.client.__file__).parents[2]
PRINT_MODULES = """
import sys
from testbed.client.terminal.program import run
code = run(["--help"])
print(*sorted(sys.modules), file=sys.stderr)
sys.exit(code)
"""


def test_help_imports_click_alone() -> None:
    words = [sys.executable, "-c", PRINT_MODULES]
    done = subprocess.run(words, cwd=CHECKOUT, capture_output=True, text=True)

    modules = set(done.stderr.split())
    packages = {name.partition(".")[0] for name in modules}
    assert done.returncode == 0, done.stderr
    assert "reservations" in done.stdout
    assert "click" in packages
    assert not packages & {"httpx", "rich", "websockets", "pydantic", "ruamel", "yaml"}
    assert not packages & {"django", "asyncio", "ssl"}
    assert not {name for name in modules if ".terminal.commands" in name}
