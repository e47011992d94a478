"""Real SSH servers for the providers too."""

from tests.orchestration.transport.conftest import make_server, server

__all__ = ["make_server", "server"]
