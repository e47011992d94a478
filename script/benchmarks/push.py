"""`script/bench push`: an image to a host over SSH, against rsync, scp and tar.

The product does a whole push as the instruction does it: login, look, transfer,
verification on the host, fsync, link. The peers log in and copy; they verify nothing
and wait for no disk. All go to the same sshd, taking turns.
"""

import os
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

from benchmarks.measuring import Table, conclude, folder, parser
from orchestration.providers.transfer import push
from orchestration.providers.transfer.source import stored_content
from orchestration.transport.base import Scope
from tests.orchestration.transport.conftest import Server, start_sshd

MIB = 2**20
TARGET_RATIO = 1.1
PEERS = ("rsync --sparse", "scp", "tar -S | ssh")
OURS = "ours"


def main() -> int:
    """Run the benchmark."""
    options = parser("images to a host, ours against rsync, scp and tar")
    options.add_argument("--repeat", type=int, default=5)
    chosen = options.parse_args()
    table = Table("push")
    with folder(keep=chosen.keep) as place:
        images = make_images(place)
        server = start_sshd(place / "sshd", "Subsystem sftp internal-sftp")
        try:
            for title, image in images.items():
                measure(table, title, Bench(place, server, image), chosen.repeat)
        finally:
            server.stop()
    return conclude(table, strict=chosen.strict)


def make_images(place: Path) -> dict[str, Path]:
    """Make the three images; their content is the same each time."""
    source = random.Random(1)  # nosec B311  # noqa: S311 - no secret
    sparse, dense, texts = place / "sparse", place / "dense", place / "texts"
    with sparse.open("wb") as file:
        file.truncate(2048 * MIB)
        for number in range(50):
            file.seek(number * 40 * MIB)
            file.write(source.randbytes(MIB))
    dense.write_bytes(b"".join(source.randbytes(MIB) for _ in range(100)))
    words = [source.randbytes(source.randint(2, 9)).hex() for _ in range(4000)]
    with texts.open("w") as text:
        while text.tell() < 300 * MIB:
            text.write(" ".join(source.choices(words, k=50_000)))
        text.truncate(300 * MIB)
    scope = Scope()
    for image in (sparse, dense, texts):
        stored_content(image, scope=scope)  # as the store's images, it has a stamp
    return {
        "2 GiB sparse, 50 MiB of data": sparse,
        "100 MiB, incompressible": dense,
        "300 MiB, compressible": texts,
    }


class Bench:
    """One image, and the four ways to copy it to the host."""

    def __init__(self, place: Path, server: Server, image: Path) -> None:
        self._place = place
        self._server = server
        self._image = image
        self._known = place / "known-hosts"
        self._known.write_text(f"[127.0.0.1]:{server.port} {server.host_key}\n")
        self.wire_bytes = 0

    @property
    def ways(self) -> dict[str, Callable[[Path], None]]:
        """Return the ways to copy the image into a folder, by name."""
        found = (self._push, self._rsync, self._scp, self._tar)
        return dict(zip((OURS, *PEERS), found, strict=True))

    def timed(self, way: Callable[[Path], None]) -> float:
        """Return the seconds that one way takes, on a disk with no pending writes."""
        target = self._place / "host"
        target.mkdir()
        os.sync()
        started = time.perf_counter()
        way(target)
        seconds = time.perf_counter() - started
        shutil.rmtree(target)
        return seconds

    def _push(self, target: Path) -> None:
        transport = self._server.transport()
        result = push.push(
            stored_content(self._image, scope=Scope()),
            transport,
            str(target / "image"),
            locks=self._place,
            scope=Scope("bench"),
            on_progress=lambda done, total: None,
            log=lambda line: None,
        )
        transport.close()
        if result.sent is None:
            raise SystemExit("nothing was sent")
        self.wire_bytes = result.sent.wire_bytes

    def _rsync(self, target: Path) -> None:
        shell = " ".join(self._ssh("ssh", "-p"))
        there = f"root@127.0.0.1:{target}/"
        run("rsync", "--sparse", "-e", shell, str(self._image), there)

    def _scp(self, target: Path) -> None:
        run(*self._ssh("scp", "-P"), str(self._image), f"root@127.0.0.1:{target}/")

    def _tar(self, target: Path) -> None:
        words = ["tar", "-S", "-C", str(self._place), "-cf", "-", self._image.name]
        ssh = [*self._ssh("ssh", "-p"), "root@127.0.0.1", "tar", "-xf", "-", "-C"]
        with subprocess.Popen(words, stdout=subprocess.PIPE) as tar:
            subprocess.run([*ssh, str(target)], stdin=tar.stdout, check=True)

    def _ssh(self, program: str, port_option: str) -> tuple[str, ...]:
        options = ("-F", "none", "-i", str(self._server.identity))
        known = ("-o", f"UserKnownHostsFile={self._known}", "-q")
        return (program, *options, *known, port_option, str(self._server.port))


def measure(table: Table, title: str, bench: Bench, repeat: int) -> None:
    """Add the rows of one image, the medians of all ways taking turns."""
    seconds: dict[str, list[float]] = {name: [] for name in bench.ways}
    for _ in range(repeat):
        for name, way in bench.ways.items():
            seconds[name].append(bench.timed(way))
    medians = {name: median(found) for name, found in seconds.items()}
    table.add(title, medians[OURS], "s")
    for peer in PEERS:
        table.add(f"  {peer}", medians[peer], "s")
    fastest = min(medians["rsync --sparse"], medians["scp"])
    table.add(
        "  ratio to the faster of rsync and scp",
        medians[OURS] / fastest,
        at_most=TARGET_RATIO,
    )
    table.add("  on the wire", bench.wire_bytes / MIB, "MiB")


def run(*words: str) -> None:
    """Run a command that must succeed."""
    subprocess.run(words, check=True)


if __name__ == "__main__":
    sys.exit(main())
