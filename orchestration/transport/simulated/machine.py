"""State of a simulated machine, and the files and disks side of its shell.

Plain values that fit into JSON: `transport.py` loads and stores them around every
command, `network.py` answers for Open vSwitch and links. Only the commands of our own
providers are understood; any other command succeeds without output.
"""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

# Paths that exist on every machine, for `test`.
SYSTEM_FOLDERS = ("/bin/", "/dev/", "/etc/", "/proc/", "/run/", "/sbin/", "/usr/")
UNKNOWN_DISK_BYTES = 2 * 1024**3


class Answer(NamedTuple):
    """Output and exit code of a simulated command."""

    exit_code: int = 0
    stdout: str = ""
    stderr: str = ""


@dataclass
class File:
    """A file: its size and times; digest of a small file, facts of a disk."""

    size: int = 0
    changed_s: int = 0
    sha256: str = ""
    virtual_size: int = 0
    format: str = "raw"
    backing: str = ""
    backing_format: str = ""


@dataclass
class Bridge:
    """An Open vSwitch bridge."""

    datapath_type: str = ""
    protocols: str = ""
    rstp_enable: str = "false"
    stp_enable: str = "false"
    fail_mode: str = ""
    controller: str = ""
    external_ids: dict[str, str] = field(default_factory=dict)
    other_config: dict[str, str] = field(default_factory=dict)


@dataclass
class Port:
    """A port of a bridge with its one interface."""

    bridge: str
    type: str = ""
    options: dict[str, str] = field(default_factory=dict)
    external_ids: dict[str, str] = field(default_factory=dict)
    tag: str = ""
    trunks: str = ""
    vlan_mode: str = ""


@dataclass
class Link:
    """A network device; one that is made again has another index."""

    up: bool = False
    peer: str = ""
    master: str = ""
    index: int = 0


@dataclass
class Sleeper:
    """A command that is still running; `stubborn` ones cannot be ended."""

    pid: int
    tag: str
    name: str
    until: float
    stubborn: bool = False


@dataclass
class Machine:
    """The whole state of a simulated machine."""

    files: dict[str, File] = field(default_factory=dict)
    folders: list[str] = field(default_factory=list)
    bridges: dict[str, Bridge] = field(default_factory=dict)
    ports: dict[str, Port] = field(default_factory=dict)
    links: dict[str, Link] = field(default_factory=dict)
    sleepers: dict[str, Sleeper] = field(default_factory=dict)
    tables: dict[str, str] = field(default_factory=dict)
    next_pid: int = 1000
    next_index: int = 1

    def to_json(self) -> str:
        """Write everything as JSON."""
        return json.dumps(self, default=vars, separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> "Machine":
        """Parse the output of `to_json`."""
        raw = json.loads(text)
        return cls(
            files={key: File(**value) for key, value in raw["files"].items()},
            folders=raw["folders"],
            bridges={key: Bridge(**value) for key, value in raw["bridges"].items()},
            ports={key: Port(**value) for key, value in raw["ports"].items()},
            links={key: Link(**value) for key, value in raw["links"].items()},
            sleepers={key: Sleeper(**v) for key, v in raw["sleepers"].items()},
            tables=raw.get("tables", {}),
            next_pid=raw["next_pid"],
            next_index=raw.get("next_index", 1),
        )

    def has(self, path: str) -> bool:
        """Return whether a file or folder has this path."""
        if path in self.files or path in self.folders:
            return True
        below = f"{path.rstrip('/')}/"
        known = (*self.files, *self.folders)
        return path.startswith(SYSTEM_FOLDERS) or any(
            name.startswith(below) for name in known
        )


Handler = Callable[[Machine, list[str]], Answer]


def mkdir(machine: Machine, words: list[str]) -> Answer:
    """`mkdir -p [-m MODE] FOLDER…`."""
    folders = (word for word in words if word.startswith("/"))
    machine.folders += [folder for folder in folders if folder not in machine.folders]
    return Answer()


def remove(machine: Machine, words: list[str]) -> Answer:
    """`rm -f|-rf [--] PATH…`: a folder goes with its contents."""
    for path in (word for word in words if word.startswith("/")):
        below = f"{path.rstrip('/')}/"
        for name in [n for n in machine.files if n == path or n.startswith(below)]:
            del machine.files[name]
        machine.folders = [
            n for n in machine.folders if n != path and not n.startswith(below)
        ]
    return Answer()


def move(machine: Machine, words: list[str]) -> Answer:
    """`mv -f SOURCE TARGET`."""
    source, target = words[-2:]
    if source not in machine.files:
        return _missing("mv", source)
    machine.files[target] = machine.files.pop(source)
    return Answer()


def test(machine: Machine, words: list[str]) -> Answer:
    """`test -e A [-a -d B …]`: true when all of them exist."""
    paths = [word for word in words if word.startswith("/")]
    return Answer(0 if all(machine.has(path) for path in paths) else 1)


def stat(machine: Machine, words: list[str]) -> Answer:
    """`stat -c FORMAT FILE` with %s (size) and %Y (time of change)."""
    file = machine.files.get(words[-1])
    if file is None:
        return _missing("stat", words[-1])
    shape = words[words.index("-c") + 1] if "-c" in words else "%s"
    text = shape.replace("%s", str(file.size)).replace("%Y", str(file.changed_s))
    return Answer(stdout=f"{text}\n")


def find(machine: Machine, words: list[str]) -> Answer:
    """`find FOLDER -mindepth 2 -maxdepth 2 -type d -name NAME -printf '%b %p\\n'`."""
    root, name = words[0].rstrip("/"), words[words.index("-name") + 1]
    depth = root.count("/") + 2
    found = [
        folder
        for folder in machine.folders
        if folder.startswith(f"{root}/")
        and folder.endswith(f"/{name}")
        and folder.count("/") == depth
    ]
    return Answer(stdout="".join(f"0 {folder}\n" for folder in sorted(found)))


def sha256sum(machine: Machine, words: list[str]) -> Answer:
    """`sha256sum FILE`."""
    file = machine.files.get(words[-1])
    if file is None or not file.sha256:
        return _missing("sha256sum", words[-1])
    return Answer(stdout=f"{file.sha256}  {words[-1]}\n")


def qemu_img(machine: Machine, words: list[str]) -> Answer:
    """`qemu-img create|info|measure|rebase|convert …`; base images need not exist."""
    verb, options, names = words[0], *_split_options(words[1:])
    if verb == "create":
        size = int(names[1]) if len(names) > 1 else UNKNOWN_DISK_BYTES
        machine.files[names[0]] = File(
            size=196_616,
            virtual_size=size,
            format=options.get("-f", "raw"),
            backing=options.get("-b", ""),
            backing_format=options.get("-F", ""),
        )
        return Answer()
    if verb == "info" and "--backing-chain" in words:
        found = [_disk_facts(machine, path) for path in _chain(machine, names[0])]
        return Answer(stdout=f"[{', '.join(found)}]")
    if verb == "info":
        return Answer(stdout=_disk_facts(machine, names[0]))
    if verb == "measure":
        return Answer(stdout=json.dumps({"required": UNKNOWN_DISK_BYTES}))
    if verb == "rebase" and names[0] in machine.files:
        disk = machine.files[names[0]]
        disk.backing, disk.backing_format = options["-b"], options["-F"]
    if verb == "convert":
        machine.files[names[-1]] = File(
            virtual_size=UNKNOWN_DISK_BYTES, format=options.get("-O", "raw")
        )
    return Answer()


def _chain(machine: Machine, path: str) -> Iterator[str]:
    """Return a disk and the files below it, as far as they exist."""
    while path:
        yield path
        path = machine.files[path].backing if path in machine.files else ""


def _disk_facts(machine: Machine, path: str) -> str:
    disk = machine.files.get(path) or File(format="qcow2")
    facts: dict[str, str | int] = {
        "filename": path,
        "format": disk.format,
        "virtual-size": disk.virtual_size or UNKNOWN_DISK_BYTES,
        "actual-size": disk.size,
    }
    if disk.backing:
        facts["backing-filename"] = disk.backing
        facts["backing-filename-format"] = disk.backing_format or "qcow2"
    return json.dumps(facts)


def _split_options(words: list[str]) -> tuple[dict[str, str], list[str]]:
    """Separate options with values (-f qcow2) from flags (-q, --x) and names."""
    options: dict[str, str] = {}
    names: list[str] = []
    rest = iter(words)
    for word in rest:
        if word in ("-f", "-F", "-b", "-O", "-o"):
            options[word] = next(rest, "")
        elif not word.startswith("-"):
            names.append(word)
    return options, names


def _missing(program: str, path: str) -> Answer:
    return Answer(1, "", f"{program}: {path}: No such file or directory\n")
