"""The store of base images: fetched once to main, verified, copied once per host.

Beside each image lie a lock, so that several workers wait for one fetch instead of
repeating it, and a stamp with digest, size and time of change, so that gigabytes are
read only once. `download.py` talks HTTP; what images exist is the catalogue's.
"""

import hashlib
import shutil
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from orchestration.errors import ImageFailed, NotEnoughSpace
from orchestration.providers import download
from orchestration.providers.locks import Log, locked
from orchestration.providers.stamps import (
    Digest,
    Stamp,
    digest_of,
    read_stamp,
    stamp_name,
    write_stamp,
)
from orchestration.spec.catalogue import Image
from orchestration.transport import copying
from orchestration.transport.base import OnProgress, Scope, Transport, command

# A file system that is filled to the last byte stops more than this image.
SPARE_BYTES = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class _Tell:
    """Who hears of bytes that were brought, and of those that were verified."""

    brought: OnProgress
    verified: OnProgress


def ensure_image(
    image: Image,
    target: Path,
    *,
    scope: Scope,
    on_progress: OnProgress | None = None,
    on_verify: OnProgress | None = None,
    log: Log | None = None,
) -> bool:
    """Bring an image to `target` on this machine, verified; False if it is there.

    Raises: ImageFailed, NotEnoughSpace, Cancelled. A cancelled fetch is resumed by
    the next one where the server can do that. `on_verify` is the progress of reading
    it once more, for its digest.
    """
    tell = _Tell(on_progress or _no_progress, on_verify or _no_progress)
    say = log or _no_log
    if _is_verified(target, image):
        return False
    target.parent.mkdir(parents=True, exist_ok=True)
    with locked(target, scope, say):
        if _is_verified(target, image):
            return False
        wanted = _wanted(image, scope)
        if not wanted.value:
            say(f"Nobody told a checksum of {image.name}: it is used unverified.")
        if target.exists() and _adopt(target, wanted, scope, tell, say):
            return False
        part = target.with_name(f"{target.name}.part")
        if image.path:
            found = _copy(image, part, wanted, scope, tell)
        else:
            found = _fetch(image, part, wanted, scope, tell, say)
        part.replace(target)
        write_stamp(target, found)
    return True


def push_image(
    source: Path,
    transport: Transport,
    target: str,
    *,
    scope: Scope,
    on_progress: OnProgress | None = None,
) -> bool:
    """Copy a verified image of main to a host; False when the host has it."""
    with locked(source, scope, _no_log, purpose=f"push-{transport.machine}"):
        digest = _digest_of_stored(source, scope)
        stamp_path = stamp_name(target)
        if _remote_stamp(transport, target, digest, scope=scope) == _cat(
            transport, stamp_path, scope=scope
        ):
            return False
        transport.put(
            source, target, scope=scope, as_root=True, on_progress=on_progress
        )
        stamp = _remote_stamp(transport, target, digest, scope=scope)
        if stamp.split()[1:2] != [str(source.stat().st_size)]:
            raise ImageFailed(
                f"The image {source.name} did not arrive whole on {transport.machine}.",
                hint="Start again: it is copied anew.",
                detail=f"the host has: {stamp or 'nothing'}",
            )
        transport.put(stamp.encode(), stamp_path, scope=scope, as_root=True)
    return True


def push_own(
    source: Path,
    transport: Transport,
    target: str,
    *,
    scope: Scope,
    on_progress: OnProgress | None = None,
) -> bool:
    """Copy a user's file to a host; False when the host has it.

    The target's name changes with the file, so that its size is enough to compare.
    Nothing is written beside the source. Raises: ImageFailed, NotEnoughSpace.
    """
    if not source.is_file():
        raise ImageFailed(
            f"The disk {source} is not there any more.",
            hint="Put it back, or change kvm-compose.yaml.",
        )
    cmd = command("stat", "-c", "%s", target).with_root()
    found = transport.run(cmd, scope=scope, check=False)
    if found.exit_code == 0 and found.stdout.strip() == str(source.stat().st_size):
        return False
    transport.put(source, target, scope=scope, as_root=True, on_progress=on_progress)
    return True


def has_same_file(
    transport: Transport, source: Path, target: str, *, scope: Scope
) -> bool:
    """Say whether a host has exactly this (small) file of main."""
    cmd = command("sha256sum", target).with_root()
    completed = transport.run(cmd, scope=scope, check=False)
    with source.open("rb") as file:
        ours = hashlib.file_digest(file, "sha256").hexdigest()
    return completed.exit_code == 0 and completed.stdout.split()[:1] == [ours]


def _wanted(image: Image, scope: Scope) -> Digest:
    if image.sha256:
        return Digest("sha256", image.sha256)
    if image.sha512:
        return Digest("sha512", image.sha512)
    if image.sums_url:
        scope.check_cancelled()
        value = download.published_sum(image.sums_url, image.url.rsplit("/", 1)[-1])
        return Digest("sha512" if len(value) == 128 else "sha256", value)
    return Digest("sha256", "")


def _adopt(target: Path, wanted: Digest, scope: Scope, tell: _Tell, say: Log) -> bool:
    """Verify a file that is there without a valid stamp; a wrong one is replaced."""
    found = digest_of(target, wanted.algorithm, scope, tell.verified)
    if wanted.value and found.value != wanted.value:
        say(f"{target.name} is damaged or another file; it is replaced.")
        return False
    write_stamp(target, found)
    return True


def _copy(
    image: Image, part: Path, wanted: Digest, scope: Scope, tell: _Tell
) -> Digest:
    """Copy a file of this machine; a part of it is not worth keeping."""
    source = Path(image.path)
    if not source.is_file():
        raise ImageFailed(
            f"The image {image.name} is not at {source}.",
            hint="Build it or put it there, or change the image catalogue.",
        )
    check_space(part, source.stat().st_blocks * 512)
    part.unlink(missing_ok=True)
    try:
        with part.open("xb") as writer:
            copying.copy_here(
                source, writer, check=scope.check_cancelled, on_progress=tell.brought
            )
        return _verified(image, part, wanted, scope, tell)
    except OSError as exc:
        part.unlink(missing_ok=True)
        raise download.not_stored(part, exc) from exc
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def _fetch(
    image: Image,
    part: Path,
    wanted: Digest,
    scope: Scope,
    tell: _Tell,
    say: Log,
) -> Digest:
    get = partial(
        download.fetch,
        scope=scope,
        on_progress=tell.brought,
        log=say,
        check_space=partial(check_space, part),
    )
    resumed = get(image.url, part)
    try:
        return _verified(image, part, wanted, scope, tell)
    except ImageFailed:
        if not resumed:
            raise
    say("The two halves do not fit together: fetched again from the start.")
    get(image.url, part)
    return _verified(image, part, wanted, scope, tell)


def _verified(
    image: Image, part: Path, wanted: Digest, scope: Scope, tell: _Tell
) -> Digest:
    """Return the part's digest. Raises: ImageFailed, and removes a wrong file."""
    found = digest_of(part, wanted.algorithm, scope, tell.verified)
    if wanted.value and found.value != wanted.value:
        part.unlink()
        raise ImageFailed(
            f"The image {image.name} is not the expected file; it was discarded.",
            hint="The publisher may have replaced it: update the image catalogue.",
            detail=f"expected {wanted.algorithm} {wanted.value}\n"
            f"got      {found.algorithm} {found.value}\n"
            f"from     {image.url or image.path}",
        )
    return found


def check_space(path: Path, needed_bytes: int) -> None:
    """Raise NotEnoughSpace when so much more does not fit beside `path`."""
    free = shutil.disk_usage(path.parent).free
    if needed_bytes + SPARE_BYTES > free:
        raise NotEnoughSpace(
            f"There is no room for {path.name.removesuffix('.part')} in {path.parent}: "
            f"{needed_bytes / 1e9:.1f} GB are needed, {free / 1e9:.1f} GB are free.",
            hint="Make room there, then start again.",
        )


def _digest_of_stored(source: Path, scope: Scope) -> Digest:
    if not source.is_file():
        raise ImageFailed(
            f"The image {source.name} is not in main's store.",
            hint="Run `up` again: it is fetched first.",
        )
    stamp = read_stamp(source)
    if stamp is None:
        digest = digest_of(source, "sha256", scope, _no_progress)
        write_stamp(source, digest)
        return digest
    return stamp.digest


def _is_verified(target: Path, image: Image) -> bool:
    stamp = read_stamp(target)
    if stamp is None:
        return False
    known = {"sha256": image.sha256, "sha512": image.sha512}
    wanted = known.get(stamp.digest.algorithm, "")
    return stamp.digest.value == wanted if wanted else not image.digest


def _remote_stamp(
    transport: Transport, target: str, digest: Digest, *, scope: Scope
) -> str:
    """Return what the stamp of the host's file has to be; empty without a file."""
    cmd = command("stat", "-c", "%s %Y", target).with_root()
    completed = transport.run(cmd, scope=scope, check=False)
    if completed.exit_code != 0:
        return ""
    size, changed = completed.stdout.split()
    return str(Stamp(digest, int(size), int(changed)))


def _cat(transport: Transport, path: str, *, scope: Scope) -> str | None:
    cmd = command("cat", path).with_root()
    completed = transport.run(cmd, scope=scope, check=False)
    return completed.stdout if completed.exit_code == 0 else None


def _no_progress(done: int, total: int) -> None: ...


def _no_log(text: str) -> None: ...
