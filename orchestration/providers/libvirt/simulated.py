"""Simulated hosts: libvirt's test driver behind the same Connection.

The driver lives in memory, one per process; several workers must see the same host. So
a host is a file, `<dir>/<host>.xml`, in the driver's own format: read again when
another process wrote it, written after each call that changes something, both under a
lock. `open_connection` chooses between this and a real host; the rest of the package
knows the driver only where it lacks a call.
"""

import logging
import os
import xml.etree.ElementTree as ET
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TypeVar
from urllib.parse import quote

import libvirt

from orchestration.files import write_whole
from orchestration.locks import held
from orchestration.providers.libvirt.connection import Connection
from orchestration.providers.libvirt.remote import system_uri, write_wrapper
from orchestration.providers.libvirt.translate import call_failed
from orchestration.state.model import HostKind, HostState
from orchestration.transport.simulated.store import TURN

T = TypeVar("T")
logger = logging.getLogger(__name__)

_TEST_NAMESPACE = "http://libvirt.org/schemas/domain/test/1.0"
_PARENTS_FIRST = libvirt.VIR_DOMAIN_SNAPSHOT_LIST_TOPOLOGICAL
_DEFAULT_CPUS = 16
_DEFAULT_MEMORY_MIB = 65_536


def open_connection(
    host: HostState,
    *,
    wrapper_dir: Path,
    simulated_dir: Path,
    require_answer: Callable[[], None] = lambda: None,
) -> Connection:
    """Return the connection of a host, simulated or real; nothing is opened yet.

    `wrapper_dir` gets the ssh wrappers of remote hosts, `simulated_dir` the files of
    simulated ones. `require_answer` raises when a remote host does not answer: it is
    called before libvirt's own, longer attempt.
    """
    if host.kind is HostKind.SIMULATED:
        return SimulatedConnection(host, simulated_dir)
    uri = system_uri(host, wrapper_dir)
    prepare = (
        None if host.is_main else partial(_prepare, host, wrapper_dir, require_answer)
    )
    return Connection(uri, machine=host.name, prepare=prepare)


def _prepare(
    host: HostState, wrapper_dir: Path, require_answer: Callable[[], None]
) -> None:
    require_answer()
    write_wrapper(host, wrapper_dir)


class SimulatedConnection(Connection):
    """A host that exists in a file only, shared by all processes that know it.

    Calls of one host run one at a time: each is a fraction of a millisecond.
    """

    def __init__(self, host: HostState, directory: Path) -> None:
        self._file = directory.absolute() / f"{host.name}.xml"
        super().__init__(f"test://{quote(str(self._file))}", machine=host.name)
        # Its content counts the writes.
        self._lock_file = self._file.with_suffix(".lock")
        self._host = host
        self._generation = -1
        self._text = ""

    def call(
        self, what: str, fn: Callable[[libvirt.virConnect], T], *, changes: bool = False
    ) -> T:
        """Run `fn` on the newest state of the host, and store its changes."""
        with self._lock, TURN, held(self._lock_file, shared=not changes) as lock:
            handle = self._newest(lock)
            if changes and not self._text:
                self._text = _dump(handle, self._host)
            try:
                return fn(handle)
            except libvirt.libvirtError as error:
                raise call_failed(error, what=what, machine=self.machine) from error
            finally:
                if changes:
                    self._save(handle, lock)

    def _newest(self, lock: int) -> libvirt.virConnect:
        generation = int(os.pread(lock, 20, 0) or b"0")
        if self._handle is None or generation != self._generation:
            if not self._file.exists():
                write_whole(self._file, _document(self._host, ()), mode=0o600)
            self._handle = self._open()
            self._text = ""  # printed only for a change: it takes long
            self._generation = generation
        return self._handle

    def _save(self, handle: libvirt.virConnect, lock: int) -> None:
        text = _dump(handle, self._host)
        if text == self._text:
            return
        # Counted before it is written: a crash in between costs a needless read.
        self._generation += 1
        os.pwrite(lock, b"%020d" % self._generation, 0)
        write_whole(self._file, text, mode=0o600)
        self._text = text


def _dump(handle: libvirt.virConnect, host: HostState) -> str:
    """Print the driver's whole state, in the format that it reads."""
    inactive = libvirt.VIR_DOMAIN_XML_INACTIVE | libvirt.VIR_DOMAIN_XML_SECURE
    objects = [
        _with_state(domain.XMLDesc(inactive), domain)
        for domain in handle.listAllDomains()
    ]
    objects += [network.XMLDesc() for network in handle.listAllNetworks()]
    return _document(host, sorted(objects))


def _with_state(xml: str, domain: libvirt.virDomain) -> str:
    """Add state and snapshots, which the driver reads from its file, not prints."""
    head, _, body = xml.partition(">")
    body = body.rstrip().removesuffix("</domain>")
    mark = f"<test:runstate>{domain.state()[0]}</test:runstate>"
    mark += "".join(_snapshot(one) for one in domain.listAllSnapshots(_PARENTS_FIRST))
    return f'{head} xmlns:test="{_TEST_NAMESPACE}">{body}{mark}</domain>\n'


def _snapshot(snapshot: libvirt.virDomainSnapshot) -> str:
    """Return a snapshot as the driver reads it: `active` says which is current."""
    text = snapshot.getXMLDesc(libvirt.VIR_DOMAIN_SNAPSHOT_XML_SECURE)
    body = (
        text.rstrip().removeprefix("<domainsnapshot>").removesuffix("</domainsnapshot>")
    )
    active = f"<active>{int(snapshot.isCurrent())}</active>"
    return f"<test:domainsnapshot>{body}{active}</test:domainsnapshot>"


def _document(host: HostState, objects: list[str] | tuple[()]) -> str:
    node = ET.Element("node")
    cpus = str(host.cpus or _DEFAULT_CPUS)
    memory_kib = (host.memory_mib or _DEFAULT_MEMORY_MIB) << 10
    cpu = ET.SubElement(node, "cpu")
    topology = {"nodes": "1", "sockets": "1", "cores": cpus, "threads": "1"}
    for tag, text in {"model": "x86_64", "active": cpus, **topology}.items():
        ET.SubElement(cpu, tag).text = text
    ET.SubElement(node, "memory").text = str(memory_kib)
    head = ET.tostring(node, encoding="unicode").removesuffix("</node>")
    return "".join([head, *objects, "</node>\n"])
