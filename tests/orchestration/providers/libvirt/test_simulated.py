"""A simulated host is one host, whoever looks: threads, processes, restarts."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from orchestration.errors import LibvirtFailed
from orchestration.providers.libvirt import domains, networks
from orchestration.providers.libvirt.connection import Connection
from orchestration.providers.libvirt.ownership import GuestDomain
from orchestration.providers.libvirt.xml.domain import build_domain, build_nat_network
from tests.orchestration.providers.libvirt.samples import (
    HOST,
    NAT,
    build_guest,
    domain_in_lab,
    open_simulated,
)

WORKER = """
import sys
from pathlib import Path
from orchestration.providers.libvirt import domains
from orchestration.providers.libvirt.xml.domain import build_domain
from tests.orchestration.providers.libvirt.samples import (
    HOST, build_guest, domain_in_lab, open_simulated
)
conn = open_simulated(Path(sys.argv[1]))
for index in range(int(sys.argv[2]), int(sys.argv[3])):
    guest = build_guest(index)
    xml = build_domain(guest, HOST, testbed="lab")
    domains.define(conn, domain_in_lab(guest), xml)
    domains.start(conn, domain_in_lab(guest))
"""


def web(index: int) -> GuestDomain:
    return domain_in_lab(build_guest(index))


def define(conn: Connection, index: int) -> None:
    guest = build_guest(index)
    xml = build_domain(guest, HOST, testbed="lab")
    domains.define(conn, domain_in_lab(guest), xml)


def states(conn: Connection) -> dict[str, str]:
    return {facts.name: facts.status.value for facts in domains.observe(conn)}


def test_another_connection_sees_everything(
    simulated: Connection, tmp_path: Path
) -> None:
    other = open_simulated(tmp_path)
    assert domains.observe(other) == ()

    define(simulated, 0)
    define(simulated, 1)
    domains.start(simulated, web(1))
    networks.ensure(
        simulated, "lab-nat", build_nat_network(NAT, testbed="lab"), testbed="lab"
    )

    assert states(other) == {"lab-web-0": "shut off", "lab-web-1": "running"}
    assert domains.find(other, web(1)).spec_hash == "hash-1"
    assert (
        networks.leases(other, "lab-nat", testbed="lab")["52:54:00:00:00:01"]
        == "10.201.3.10"
    )
    xml = build_nat_network(NAT, testbed="lab")
    assert networks.ensure(other, "lab-nat", xml, testbed="lab") is False


def test_two_writers_take_turns(simulated: Connection, tmp_path: Path) -> None:
    other = open_simulated(tmp_path)
    for index in range(4):
        define(simulated if index % 2 else other, index)
    domains.start(simulated, web(0))
    domains.start(other, web(1))
    domains.destroy(simulated, web(1))
    domains.undefine(other, web(3))

    expected = {
        "lab-web-0": "running",
        "lab-web-1": "shut off",
        "lab-web-2": "shut off",
    }
    assert states(simulated) == states(other) == expected


def test_processes_at_once_lose_nothing(simulated: Connection, tmp_path: Path) -> None:
    workers = [
        subprocess.Popen(
            [sys.executable, "-c", WORKER, str(tmp_path), str(first), str(first + 10)]
        )
        for first in (0, 10, 20)
    ]
    for worker in workers:
        assert worker.wait(timeout=60) == 0

    found = states(simulated)
    assert set(found) == {f"lab-web-{index}" for index in range(30)}
    assert set(found.values()) == {"running"}


def test_threads_at_once_lose_nothing(simulated: Connection, tmp_path: Path) -> None:
    def work(index: int) -> bool:
        define(simulated, index)
        return domains.start(simulated, web(index))

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(work, range(40)))

    assert len(domains.observe(open_simulated(tmp_path))) == 40


def test_reading_and_doing_nothing_write_nothing(
    simulated: Connection, tmp_path: Path
) -> None:
    define(simulated, 0)
    domains.start(simulated, web(0))
    written = (tmp_path / "sim-1.xml").stat().st_ino

    domains.observe(simulated)
    domains.start(simulated, web(0))

    assert (tmp_path / "sim-1.xml").stat().st_ino == written


def test_failed_call_leaves_the_host_as_it_was(
    simulated: Connection, tmp_path: Path
) -> None:
    define(simulated, 0)
    with pytest.raises(LibvirtFailed):
        domains.start(simulated, web(9))

    assert states(open_simulated(tmp_path)) == {"lab-web-0": "shut off"}


def test_folder_may_have_any_name(tmp_path: Path) -> None:
    folder = tmp_path / "a b%20c?d#e&f"
    define(open_simulated(folder), 0)

    assert states(open_simulated(folder)) == {"lab-web-0": "shut off"}
