"""Files to and from one target: the product's instructions, scp, rsync and sftp.

Each logs in anew. The product besides reads again what lies on the target's disk, and
compares its digest, before anything gets its name; the others verify nothing.
"""

import os
import random
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.execution.deployed import MAIN, name_of
from benchmarks.execution.ours import Ours, project_of
from benchmarks.execution.site import Site, address
from orchestration.plan.execution import Execution, Form

MIB = 2**20
SMALL_BYTES = 4096
RSYNC = "rsync"
Way = Callable[[Path, Path], float]


def make_sources(site: Site, *, mib: int, files: int) -> dict[str, Path]:
    """Make what is copied, in the testbed's folder; the same content each time."""
    source = random.Random(1)  # nosec B311  # noqa: S311 - no secret
    folder = project_of(site.folder, MAIN).files
    text, noise, many = folder / "text", folder / "noise", folder / "many"
    words = [source.randbytes(source.randint(1, 6)).hex() for _ in range(4000)]
    with text.open("w") as file:
        while file.tell() < mib * MIB:
            file.write(" ".join(source.choices(words, k=50_000)) + "\n")
        file.truncate(mib * MIB)
    noise.write_bytes(b"".join(source.randbytes(MIB) for _ in range(mib)))
    many.mkdir()
    for number in range(files):
        (many / f"{number:05}").write_bytes(source.randbytes(SMALL_BYTES))
    return {
        f"{mib} MiB of text": text,
        f"{mib} MiB of random data": noise,
        f"{files:,} files of 4 KiB": many,
    }


class Copies:
    """The ways to copy; each returns seconds and leaves what it copied in a folder."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._config = str(site.config(kept=False, jump=False))
        self._there = address(0)

    @property
    def pushes(self) -> dict[str, Way]:
        """Return the ways to a target."""
        found: dict[str, Way] = {"ours": self._push, "scp": self._scp_to}
        if shutil.which(RSYNC):
            found[RSYNC] = self._rsync_to
        return found | {"sftp": self._sftp_to}

    @property
    def fetches(self) -> dict[str, Way]:
        """Return the ways from a target."""
        found: dict[str, Way] = {"ours": self._fetch, "scp": self._scp_from}
        if shutil.which(RSYNC):
            found[RSYNC] = self._rsync_from
        return found | {"sftp": self._sftp_from}

    def timed(self, way: Way, source: Path) -> float:
        """Return the seconds of one way, on a disk with no pending writes."""
        target = self._site.folder / "copied"
        target.mkdir()
        os.sync()
        try:
            seconds = way(source, target)
            if weight(target) != weight(source):
                raise RuntimeError(f"not all of {source.name} arrived")
        finally:
            shutil.rmtree(target)
        return seconds

    def _push(self, source: Path, target: Path) -> float:
        wanted = Execution(
            Form.PUSH, "@all", path=source.name, target=str(target / source.name)
        )
        return self._ours(wanted)

    def _fetch(self, source: Path, target: Path) -> float:
        seconds = self._ours(Execution(Form.FETCH, "@all", path=str(source)))
        fetched = project_of(self._site.folder, MAIN).directory / "fetched"
        (guest,) = fetched.glob(f"*/{name_of(0)}")
        shutil.move(guest / source.name, target)
        shutil.rmtree(fetched)
        return seconds

    def _ours(self, wanted: Execution) -> float:
        engine = Ours(self._site.folder)
        try:
            return engine.execute(wanted, [name_of(0)], MAIN)[0]
        finally:
            engine.close()

    def _scp_to(self, source: Path, target: Path) -> float:
        return self._run(*self._scp, source, f"{self._there}:{target}/")

    def _scp_from(self, source: Path, target: Path) -> float:
        return self._run(*self._scp, f"{self._there}:{source}", target)

    @property
    def _scp(self) -> tuple[str, ...]:
        return ("scp", "-q", "-r", "-F", self._config)

    def _rsync_to(self, source: Path, target: Path) -> float:
        return self._run(*self._rsync, source, f"{self._there}:{target}/")

    def _rsync_from(self, source: Path, target: Path) -> float:
        return self._run(*self._rsync, f"{self._there}:{source}", f"{target}/")

    @property
    def _rsync(self) -> tuple[str, ...]:
        return (RSYNC, "-a", "-e", f"ssh -F {self._config}")

    def _sftp_to(self, source: Path, target: Path) -> float:
        return self._sftp(f"put -r {source} {target}/{source.name}")

    def _sftp_from(self, source: Path, target: Path) -> float:
        return self._sftp(f"get -r {source} {target}/{source.name}")

    def _sftp(self, line: str) -> float:
        words = ("sftp", "-q", "-F", self._config, "-b", "-", self._there)
        return self._run(*words, text=f"{line}\n")

    @staticmethod
    def _run(*words: str | Path, text: str = "") -> float:
        started = time.perf_counter()
        subprocess.run(words, input=text, text=True, check=True, capture_output=True)
        return time.perf_counter() - started


def weight(folder: Path) -> tuple[int, int]:
    """Return the number and the bytes of the files in a folder, or of one file."""
    files = [folder] if folder.is_file() else folder.rglob("*")
    sizes = [path.stat().st_size for path in files if path.is_file()]
    return len(sizes), sum(sizes)
