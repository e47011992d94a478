"""The store of base images: fetched once to main, verified, copied once per host.

Beside each image lie a lock, so that several workers wait for one fetch instead of
repeating it, and a stamp (see `digests.py`), so that gigabytes are read only once.
`download.py` talks HTTP; the catalogue lists the images.
"""

import hashlib
import shutil
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from orchestration.compose.catalogue import Image
from orchestration.errors import ImageFailed
from orchestration.files import make_passable
from orchestration.providers.images import download
from orchestration.providers.images.digests import (
    Digest,
    digest_of,
    is_as_noted,
    read_stamp,
    write_stamp,
)
from orchestration.providers.images.locks import locked
from orchestration.providers.images.space import require_space
from orchestration.transport.base import (
    Log,
    OnProgress,
    Scope,
    Transport,
    command,
    no_log,
    no_progress,
)
from orchestration.transport.files import copying

# A completely full file system stops more than this image.


@dataclass(frozen=True, slots=True)
class _Tell:
    """Receivers of progress: of fetched bytes, and of verified ones."""

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

    Raises: ImageFailed, NotEnoughSpace, Cancelled. The next fetch resumes a cancelled
    one where the server supports it. `on_verify` is the progress of reading the image
    once more, for its digest.
    """
    tell = _Tell(on_progress or no_progress, on_verify or no_progress)
    say = log or no_log
    if _is_verified(target, image):
        return False
    make_passable(target.parent)
    with locked(target, scope, say):
        is_as_noted(target, scope, tell.verified)
        if _is_verified(target, image):
            return False
        wanted = _wanted(image, scope)
        if not wanted.value:
            say(f"The checksum of {image.name} is not known: it is used unverified.")
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


def has_same_file(
    transport: Transport, source: Path, target: str, *, scope: Scope
) -> bool:
    """Return whether a host has exactly this (small) file of main."""
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
    """Verify an existing file without a valid stamp; False: it must be replaced."""
    found = digest_of(target, wanted.algorithm, scope, tell.verified)
    if wanted.value and found.value != wanted.value:
        say(f"{target.name} is damaged or another file; it is replaced.")
        return False
    write_stamp(target, found)
    return True


def _copy(
    image: Image, part: Path, wanted: Digest, scope: Scope, tell: _Tell
) -> Digest:
    """Copy a file of this machine; a partial copy is not kept."""
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
    """Raise NotEnoughSpace when `needed_bytes` more do not fit beside `path`."""
    require_space(
        path.name.removesuffix(".part"),
        f"in {path.parent}",
        needed_bytes=needed_bytes,
        free_bytes=shutil.disk_usage(path.parent).free,
    )


def _is_verified(target: Path, image: Image) -> bool:
    stamp = read_stamp(target)
    if stamp is None:
        return False
    known = {"sha256": image.sha256, "sha512": image.sha512}
    wanted = known.get(stamp.digest.algorithm, "")
    return stamp.digest.value == wanted if wanted else not image.digest
