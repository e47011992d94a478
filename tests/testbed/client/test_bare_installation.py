"""The client works where only its own packages are: no Django, no queue, no libvirt."""

import subprocess
import sys
from pathlib import Path

import testbed.client

CHECKOUT = Path(testbed.client.__file__).parents[2]
# Of the server alone, as `pip install testbed[server]` has them.
FOREIGN = (
    "django",
    "celery",
    "kombu",
    "redis",
    "channels",
    "daphne",
    "ninja",
    "libvirt",
    "libvirt_qemu",
    "paramiko",
    "cryptography",
    "pycdlib",
    "zstandard",
    "psycopg",
)
IMPORT_ALL = """
import importlib, pkgutil, sys

class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in sys.argv[1:]:
            raise ImportError(f"{name} is not installed")

sys.meta_path.insert(0, Blocked())
import testbed.client
for module in pkgutil.walk_packages(testbed.client.__path__, "testbed.client."):
    importlib.import_module(module.name)
    print(module.name)
"""


def test_every_module_of_the_client_is_imported_without_the_server() -> None:
    words = [sys.executable, "-c", IMPORT_ALL, *FOREIGN]

    done = subprocess.run(words, cwd=CHECKOUT, capture_output=True, text=True)

    assert done.returncode == 0, done.stderr
    assert "testbed.client.rest.server" in done.stdout.splitlines()
