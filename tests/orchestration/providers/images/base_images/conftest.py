"""The image store of main, filled from a local web server, without pauses between tries.

Only for the tests of this package: `server` is a web server here, not that of SSH.
"""

import threading

import pytest

from orchestration.providers.images import download
from orchestration.transport.base import Scope
from tests.orchestration.providers.images.base_images.webserver import Server
from tests.tags import OWN_TAG


@pytest.fixture
def server():
    with Server() as running:
        thread = threading.Thread(target=running.serve_forever, args=(0.01,))
        thread.start()
        yield running
        running.go_on.set()
        running.shutdown()
        thread.join()


@pytest.fixture(autouse=True)
def _no_pause(monkeypatch):
    monkeypatch.setattr(download, "PAUSE_S", 0)


@pytest.fixture
def target(tmp_path):
    return tmp_path / "store" / "disk.qcow2"


@pytest.fixture
def scope():
    return Scope(OWN_TAG)
