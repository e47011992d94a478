"""A QEMU guest agent that runs programs and opens files of this machine."""

import base64
import re
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import IO


class Agent:
    """Does qemu-ga's work on this machine; `lies` replaces answers."""

    def __init__(self) -> None:
        self.programs: dict[int, subprocess.Popen[bytes]] = {}
        self.files: dict[int, IO[bytes]] = {}
        self.lies: dict[str, object] = {}
        self.commands: list[str] = []
        self.arguments: list[str] = []

    def ask(self, name: str, arguments: Mapping[str, object]) -> object:
        self.commands.append(name)
        if name in self.lies:
            return self.lies[name]
        method = getattr(self, name.replace("-", "_"))
        return method(**{key.replace("-", "_"): v for key, v in arguments.items()})

    def guest_ping(self) -> object:
        return {}

    def guest_exec(self, path: str, arg: list[str]) -> object:
        self.arguments += arg
        program = subprocess.Popen([path, *arg], start_new_session=True)
        self.programs[program.pid] = program
        return {"pid": program.pid}

    def guest_exec_status(self, pid: int) -> object:
        code = self.programs[pid].poll()
        if code is None:
            return {"exited": False}
        return {"exited": True, **({"exitcode": code} if code >= 0 else {})}

    def guest_file_open(self, path: str, mode: str) -> object:
        handle = 1000 + len(self.files)
        self.files[handle] = Path(path).open(f"{mode}b")  # noqa: SIM115
        return handle

    def guest_file_read(self, handle: int, count: int) -> object:
        data = self.files[handle].read(count)
        text = base64.b64encode(data).decode()
        return {"count": len(data), "buf-b64": text, "eof": not data}

    def guest_file_write(self, handle: int, buf_b64: str) -> object:
        data = base64.b64decode(buf_b64)
        self.files[handle].write(data)
        return {"count": len(data), "eof": False}

    def guest_file_close(self, handle: int) -> object:
        self.files[handle].close()
        return {}

    def folders(self) -> set[str]:
        """The folders of commands, as programs were given them."""
        found = re.findall(r"/tmp/\.testbed-[0-9a-f]+", "\n".join(self.arguments))
        return set(found)

    def end(self) -> None:
        for file in self.files.values():
            file.close()
        for program in self.programs.values():
            program.wait(10)
