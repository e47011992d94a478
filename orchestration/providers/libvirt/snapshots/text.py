"""libvirt's text of a snapshot: written for a new one, read, relabelled.

A snapshot's text has no place for metadata of ours. Our label is the last line of its
description, after the user's words, so that `virsh snapshot-dumpxml` shows both. A
snapshot without a label was made outside. The text also holds the domain of then.
Pure; `verbs.py` sends and fetches the texts.
"""

import json
import xml.etree.ElementTree as ET
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace

from pydantic import TypeAdapter, ValidationError

from orchestration.plan.snapshots import MOST_DESCRIPTION
from orchestration.providers.libvirt.facts.domains import DomainStatus
from orchestration.providers.libvirt.xml.metadata import find_mark

_LABEL = "[testbed] "
_NUL = "\\u0000"
# A disk alone was copied while the guest ran: its state is that of a power cut.
_CRASH_LIKE = "disk-snapshot"
Marks = Mapping[str, str | int | None]


@dataclass(frozen=True, slots=True)
class Label:
    """Our record in a snapshot: the user who took it, empty for one made outside.

    `title` is shown instead of its name, if any. `schedule` is the rhythm of the schedule
    that took it in the user's name: `nightly`. `marks` are the guest's markers of
    then, as its disk has them. One of a group has the number of the group's guests;
    all of these have a snapshot of this name. `frozen`: the guest's agent held its file
    systems when the memory was stored, so that they are held after a restore, too.
    """

    by: str = ""
    title: str = ""
    marks: Marks = field(default_factory=dict)
    schedule: str = ""
    group: int = 0
    frozen: bool = False


_LABELS = TypeAdapter(Label)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One snapshot of a guest as libvirt has it.

    `status` is the guest's of then. An external one lies in files of its own.
    `created_at` counts seconds since the epoch, `memory_bytes` the stored memory, 0
    where nobody counted. `disks` are the files of its writable disks, `networks` the
    bridges and networks of its interfaces, `spec_hash` is that of its settings. `cpus`
    and `memory_mib` are those settings themselves, 0 where they were not read.
    """

    name: str
    description: str
    label: Label
    parent: str
    status: str
    has_memory: bool
    is_external: bool
    created_at: int
    disks: tuple[str, ...] = ()
    networks: tuple[str, ...] = ()
    spec_hash: str = ""
    is_current: bool = False
    memory_bytes: int = 0
    cpus: int = 0
    memory_mib: int = 0

    @property
    def title(self) -> str:
        """The name to show."""
        return self.label.title or self.name

    @property
    def is_outside(self) -> bool:
        """Return whether it was made by another program."""
        return not self.label.by


def build(name: str, description: str, label: Label) -> str:
    """Write the text of a new snapshot."""
    root = ET.Element("domainsnapshot")
    ET.SubElement(root, "name").text = name
    ET.SubElement(root, "description").text = _described(description, label)
    return ET.tostring(root, encoding="unicode")


def read(text: str) -> Snapshot:
    """Read libvirt's text of a snapshot; `is_current` is not in it."""
    root = _parse(text)
    description, label = _undescribed(root.findtext("description", ""))
    if len(description) > MOST_DESCRIPTION:  # of another program
        description = f"{description[:MOST_DESCRIPTION]} … (cut)"
    state = root.findtext("state", "")
    memory = root.find("memory")
    disks = root.findall("./disks/disk")
    kinds = {one.get("snapshot", "") for one in (*disks, memory) if one is not None}
    domain = root.find("domain")
    if domain is None:
        domain = ET.Element("domain")
    return Snapshot(
        name=root.findtext("name", ""),
        description=description,
        label=label,
        parent=root.findtext("./parent/name", ""),
        status=_status(state),
        has_memory=memory is not None and memory.get("snapshot", "no") != "no",
        is_external="external" in kinds,
        created_at=int(root.findtext("creationTime", "0")),
        disks=tuple(file for file, _ in writable_disks(domain)),
        networks=_networks(domain),
        spec_hash=find_mark(domain).spec_hash,
        cpus=int(domain.findtext("vcpu", "0")),
        memory_mib=int(domain.findtext("memory", "0")) // 1024,  # libvirt prints KiB
    )


def relabelled(text: str, title: str) -> str:
    """Return the text with another title; all else stays."""
    root = _parse(text)
    description, label = _undescribed(root.findtext("description", ""))
    element = root.find("description")
    if element is None:
        element = ET.SubElement(root, "description")
    element.text = _described(description, replace(label, title=title))
    return ET.tostring(root, encoding="unicode")


def as_running(text: str) -> str:
    """Return the text of a guest that was paused for its snapshot alone.

    It runs when it is restored, by `virsh` as well.
    """
    root = _parse(text)
    state = root.find("state")
    if state is not None and state.text == DomainStatus.PAUSED:
        state.text = DomainStatus.RUNNING.value
    return ET.tostring(root, encoding="unicode")


def keeping_logs(text: str) -> str:
    """Return the text with files that the guest's next process goes on to write.

    By the domain's definition each process empties the serial log and the report of
    the SSH host key. A restored guest does not boot: it would write neither again. The
    definition for later boots, beside the running one, stays as it is.
    """
    root = _parse(text)
    domain = root.find("domain")
    if domain is None:
        return text
    for place in ("serial/log", "console/log", "channel[@type='file']/source"):
        for file in domain.iterfind(f"./devices/{place}[@append='off']"):
            file.set("append", "on")
    return ET.tostring(root, encoding="unicode")


def writable_disks(domain: ET.Element) -> tuple[tuple[str, str], ...]:
    """Return file and format of each disk that a domain can write to."""
    found = []
    for disk in domain.iterfind("./devices/disk"):
        source, driver = disk.find("source"), disk.find("driver")
        if source is None or disk.find("readonly") is not None:
            continue
        file = source.get("file") or source.get("dev") or source.get("name") or "?"
        found.append((file, "raw" if driver is None else driver.get("type", "raw")))
    return tuple(found)


def _networks(domain: ET.Element) -> tuple[str, ...]:
    sources = domain.iterfind("./devices/interface/source")
    found = (source.get("network") or source.get("bridge") for source in sources)
    return tuple(dict.fromkeys(filter(None, found)))


def _status(state: str) -> str:
    if state == _CRASH_LIKE:
        return DomainStatus.SHUT_OFF.value
    # The text has `shutoff`, pages and plans have `shut off`.
    return DomainStatus.SHUT_OFF.value if state == "shutoff" else state


def _described(description: str, label: Label) -> str:
    record = asdict(label)
    line = _LABEL + json.dumps({key: value for key, value in record.items() if value})
    return f"{description}\n\n{line}" if description else line


def _undescribed(text: str) -> tuple[str, Label]:
    """Separate the user's words from our label."""
    words, _, last = text.rpartition("\n")
    # PostgreSQL stores no NUL, and none of ours has one.
    if not last.startswith(_LABEL) or _NUL in last:
        return text, Label()
    try:
        return words.strip(), _LABELS.validate_json(last.removeprefix(_LABEL))
    except ValidationError:
        return text, Label()


def _parse(text: str) -> ET.Element:
    # From libvirtd, which has parsed and printed it itself.
    return ET.fromstring(text)  # nosec B314  # noqa: S314
