"""Counts the processor time that simulated hosts take in the workers.

A worker includes this module (`celery --include`); each of its processes writes its
sum into a file of its own in $FOLDER, which `simulated_s` adds up. Simulated hosts are
files that every process reads, changes and writes: a large `up` spends much of its time
on them, and none of it in production.
"""

import os
import struct
import time
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from threading import Lock
from typing import ParamSpec, TypeVar

from orchestration.providers.libvirt.simulated import SimulatedConnection
from orchestration.transport.simulated.transport import SimulatedTransport

P = ParamSpec("P")
T = TypeVar("T")
FOLDER = "TESTBED_BENCH_SIMULATION"
_DOUBLE = struct.Struct("d")
_lock = Lock()
# By process, as a child inherits its parent's: the open file and the sum.
_counted_s: dict[int, tuple[int, float]] = {}


def simulated_s(folder: Path) -> float:
    """Return the CPU seconds of all processes that wrote into the folder."""
    return sum(_DOUBLE.unpack(file.read_bytes())[0] for file in folder.iterdir())


def count(folder: Path) -> None:
    """Let the calls of simulated hosts be counted in this process and its children."""
    for cls, names in {
        SimulatedTransport: ("run", "put", "get", "end"),
        SimulatedConnection: ("call",),
    }.items():
        for name in names:
            setattr(cls, name, _counted(getattr(cls, name), folder))


def _counted(fn: Callable[P, T], folder: Path) -> Callable[P, T]:
    @wraps(fn)
    def call(*args: P.args, **kwargs: P.kwargs) -> T:
        began_s = time.thread_time()
        try:
            return fn(*args, **kwargs)
        finally:
            _add(time.thread_time() - began_s, folder)

    return call


def _add(seconds: float, folder: Path) -> None:
    pid = os.getpid()
    with _lock:
        if pid not in _counted_s:
            flags = os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC
            _counted_s[pid] = os.open(folder / str(pid), flags), 0.0
        file, before_s = _counted_s[pid]
        _counted_s[pid] = file, before_s + seconds
        os.pwrite(file, _DOUBLE.pack(before_s + seconds), 0)


if FOLDER in os.environ:
    count(Path(os.environ[FOLDER]))
