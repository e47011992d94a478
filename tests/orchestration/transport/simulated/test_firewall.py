"""nft on a machine that only rehearses: tables come, are listed, and go."""

from pathlib import Path

import pytest

from orchestration.transport.base import Completed, Scope, command
from orchestration.transport.simulated.transport import SimulatedTransport

TABLE = "table inet lab {\n\tchain a {\n\t}\n}\n"


@pytest.fixture
def host(tmp_path: Path) -> SimulatedTransport:
    return SimulatedTransport("host-a", tmp_path)


def nft(host: SimulatedTransport, *words: str, text: str = "") -> Completed:
    cmd = command("nft", *words, stdin=text.encode())
    return host.run(cmd, scope=Scope(), check=False)


def test_table_is_listed_as_it_was_written(host: SimulatedTransport) -> None:
    assert nft(host, "list", "table", "inet", "lab").exit_code == 1

    nft(host, "-f", "-", text=f"add table inet lab\ndelete table inet lab\n{TABLE}")

    assert nft(host, "--stateless", "list", "table", "inet", "lab").stdout == TABLE


def test_chain_is_added_to_its_table_alone(host: SimulatedTransport) -> None:
    nft(host, "-f", "-", text=TABLE)
    nft(host, "-f", "-", text=TABLE.replace("inet", "bridge"))

    nft(host, "-f", "-", text="add chain inet lab b\n")

    listed = nft(host, "list", "table", "inet", "lab").stdout
    assert listed == "table inet lab {\n\tchain a {\n\t}\n\n\tchain b {\n\t}\n}\n"
    assert "chain b" not in nft(host, "list", "table", "bridge", "lab").stdout


def test_deleted_table_is_gone(host: SimulatedTransport) -> None:
    nft(host, "-f", "-", text=TABLE)

    nft(host, "delete", "table", "inet", "lab")
    nft(host, "delete", "table", "inet", "other")

    assert nft(host, "list", "table", "inet", "lab").exit_code == 1
