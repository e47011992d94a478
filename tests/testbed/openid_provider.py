"""A real OpenID Connect provider, oidc-provider-mock, in a process of its own."""

import json
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import httpx


@contextmanager
def openid_provider(users: dict[str, dict[str, object]]) -> Iterator[str]:
    """Run a provider with these claims, by `sub`; yield its address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    words = []
    for sub, claims in users.items():
        words += ["--user-claims", json.dumps({"sub": sub, **claims})]
    argv = [sys.executable, "-W", "ignore", "-m", "oidc_provider_mock"]
    with subprocess.Popen([*argv, "--port", str(port), *words]) as process:
        address = f"http://127.0.0.1:{port}"
        try:
            _wait_for(f"{address}/.well-known/openid-configuration", process)
            yield address
        finally:
            process.terminate()


def _wait_for(url: str, process: "subprocess.Popen[bytes]") -> None:
    for _ in range(600):
        assert process.poll() is None
        try:
            httpx.get(url).raise_for_status()
        except httpx.HTTPError:
            time.sleep(0.1)
        else:
            return
    raise AssertionError("the provider does not answer")
