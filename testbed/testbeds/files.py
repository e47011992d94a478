"""Every way a user can change a testbed's name, files and existence.

Called by the views, the demo and the tests, always with an authorised user. Files are
written below the testbed's folder only. Runs change the hosts, never this module.
"""

import logging
import os
import shutil
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path, PurePosixPath

from django.conf import settings
from django.contrib.auth.models import User
from django.db import IntegrityError, transaction

from orchestration.compose.files import composed, open_real
from orchestration.compose.language.built import not_built
from orchestration.compose.language.schema import CloudImage, Libvirt, Machine, Spec
from orchestration.compose.loader import load_spec
from orchestration.errors import PathOutside, StateError
from orchestration.files import give_to_owner_of, write_whole
from orchestration.locks import held
from orchestration.project.folder import YAML_NAME
from orchestration.state.names import NUMBER_LIMIT
from testbed.access.limits import require_files, require_testbed
from testbed.access.names import require_free
from testbed.access.permissions import Act, acted_as, record_act
from testbed.models import JumpReach, Run, Testbed, TrashItem
from testbed.models.listing.names import next_key
from testbed.models.protection import require_unprotected
from testbed.models.runs import require_no_run
from testbed.orphans.detection import (
    last_observations,
    orphan_names,
    orphan_numbers,
    speaks_for,
    things_there,
)
from testbed.orphans.listing import clean_up_after
from testbed.testbeds.erasure.deletions import (
    erased_file,
    erased_testbed,
    stored_path,
)
from testbed.testbeds.erasure.losses import require_confirmed
from testbed.testbeds.listing.labels import give_labels
from testbed.testbeds.stored_files import (
    count_again,
    files_bytes_of,
    list_files,
    reserve,
    wait_for_other_uploads,
)
from testbed.testbeds.trash.folders import mark, throw_away, throw_away_file
from testbed.testbeds.trash.items import keep_file, keep_testbed
from testbed.testbeds.uploads import check_bounds, safe_path

logger = logging.getLogger(__name__)
ATTEMPTS = 5
NAMED = 5


@dataclass(frozen=True, slots=True)
class Example:
    """A testbed that ships; `about` is the comment at the top of its YAML.

    `missing` is the reason why it cannot be brought up yet, mostly empty. `needs_disk`:
    it ships with an empty disk that the user replaces.
    """

    name: str
    about: str
    guests: int
    bridges: int
    switches: int
    missing: str = ""
    needs_disk: bool = False


def create_testbed(user: User, name: str, files: Mapping[str, bytes]) -> Testbed:
    """Create a testbed with its folder and files, and record it.

    Raises: NameTaken, UploadRefused, PathOutside, LimitReached, StateError (no number
    is free).
    """
    check_bounds(files)
    for path in files:
        safe_path(path)
    with _created(user, name, _bytes_of(files)) as testbed:
        _write(testbed, files)
    record_act(user, Act.EDIT, testbed, "created it")
    return testbed


def copy_testbed(source: Testbed, user: User, name: str, yaml: bytes) -> Testbed:
    """Create a testbed with another's files, which the user may see, and this YAML.

    It gets the other's description and tags, too. The keys, states and runs of the
    other stay its own. Raises: as `create_testbed`.
    """
    with files_locked(source):
        sizes = list_files(source) | {YAML_NAME: len(yaml)}
        check_bounds(dict.fromkeys(sizes, b"") | {YAML_NAME: yaml})
        with _created(user, name, sum(sizes.values())) as testbed:
            for path in sizes.keys() - {YAML_NAME}:
                _copy(source.project.file(path), testbed.project.file(path))
            _write(testbed, {YAML_NAME: yaml})
            count_again(testbed)
            tags = source.tags.values_list("name", flat=True)
            give_labels(testbed, source.description, tags)
    return testbed


@contextmanager
def _created(user: User, name: str, files_bytes: int) -> Iterator[Testbed]:
    """Make a testbed's row and folder; of one that is not filled nothing stays."""
    testbed = allocate(user, name, files_bytes)
    try:
        testbed.project.create()
        yield testbed
    except BaseException:
        with transaction.atomic():
            mark(testbed.directory)
            testbed.delete()
        _throw_away(testbed.directory)
        raise


def _copy(source: Path, target: Path) -> None:
    """Copy one file in pieces, with the rights to run it."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with open_real(source) as reader, target.open("xb") as writer:
        os.fchmod(writer.fileno(), os.fstat(reader.fileno()).st_mode & 0o777)
        give_to_owner_of(target.parent, writer.fileno())
        shutil.copyfileobj(reader, writer)


def update_files(
    testbed: Testbed,
    files: Mapping[str, bytes],
    *,
    without: Collection[str] = (),
    to_trash: Collection[str] = (),
) -> None:
    """Add or replace files, and remove those of `without`.

    `to_trash` are those whose content here goes to the trash, if files are kept. Raises:
    UploadRefused, PathOutside, LimitReached, StateError (one cannot be moved there),
    Protected (some are to be removed).
    """
    if without:
        require_unprotected(testbed)
    here = list_files(testbed)
    kept = {path: size for path, size in here.items() if path not in without}
    check_bounds({**dict.fromkeys(kept, b""), **files})
    require_no_file_above(kept.keys() | files.keys())
    found = sum(kept[path] for path in kept.keys() - files.keys()) + _bytes_of(files)
    trashed = sum(here[path] for path in to_trash) if settings.TRASH_DAYS else 0
    is_more = found + trashed > sum(here.values())
    reserve(testbed, found, is_more=is_more, trashed=trashed)
    testbed.project.create()
    try:
        for path in to_trash:
            if item := keep_file(testbed, path, None):
                _throw_file_away(testbed, path, item)
        for path in without:
            testbed.project.file(path).unlink(missing_ok=True)
            _remove_empty_above(testbed, path)
        _write(testbed, files)
    finally:
        count_again(testbed)


def _remove_empty_above(testbed: Testbed, path: str) -> None:
    """Remove the folders of a removed file that are empty now."""
    with suppress(OSError):  # it is not empty
        for folder in PurePosixPath(path).parents[:-1]:
            testbed.project.file(str(folder)).rmdir()


def require_no_file_above(paths: Collection[str]) -> None:
    """Refuse a file at the place of a folder. Raises: PathOutside."""
    above = {str(each) for path in paths for each in PurePosixPath(path).parents}
    if clash := sorted(above & set(paths)):
        raise PathOutside(
            f"{clash[0]!r} is a file in one place and a folder in another.",
            hint="Rename one of them.",
        )


def delete_file(
    testbed: Testbed, path: str, user: User, *, confirm: str = ""
) -> TrashItem | None:
    """Move one of the user's files to the trash; return its row, if files are kept.

    It is recorded.

    Raises: PathOutside, StateError (the YAML; no such file), Unconfirmed, Protected.
    """
    if safe_path(path) == YAML_NAME:
        raise StateError(
            f"{YAML_NAME} is what the testbed is made from.",
            hint="Replace it, or delete the testbed.",
        )
    with files_locked(testbed):
        require_unprotected(testbed)
        require_confirmed(erased_file(testbed, path), confirm)
        item = keep_file(testbed, stored_path(testbed, path), user)
        if item is None:
            testbed.project.file(path).unlink()
        else:
            _throw_file_away(testbed, path, item)
        count_again(testbed)
    record_act(user, Act.EDIT, testbed, f"deleted the file {path}")
    return item


def _throw_file_away(testbed: Testbed, path: str, item: TrashItem) -> None:
    """Move a file to its place in the trash. Raises: StateError (it stays)."""
    try:
        throw_away_file(testbed.project.file(path), item.key)
    except OSError as exc:
        item.delete()
        raise StateError(
            f"{path} could not be moved to the trash; it was not deleted.",
            hint="Ask your lab's admin to look at the disk of the server.",
            detail=str(exc),
        ) from exc


@contextmanager
def files_locked(testbed: Testbed) -> Iterator[None]:
    """Hold off other edits between reading a file and replacing it."""
    testbed.project.create()
    with held(testbed.directory / ".files.lock"):
        yield


def delete_testbed(
    testbed: Testbed, user: User, *, confirm: str = ""
) -> TrashItem | None:
    """Remove a testbed, and record it; as `remove_testbed`."""
    role = acted_as(user, testbed)
    item = remove_testbed(testbed, user, confirm=confirm)
    record_act(user, Act.DELETE, testbed, "the testbed", role=role)
    return item


def remove_testbed(
    testbed: Testbed, user: User, *, confirm: str = ""
) -> TrashItem | None:
    """Remove a testbed with its disks and runs; its files go to the trash.

    A worker removes the folders on other hosts. Returns the row of the trash, if files
    are kept.

    Raises: TestbedBusy (a run is active), StateError (something is deployed),
    Unconfirmed, Protected.
    """
    with transaction.atomic():
        locked = Testbed.objects.select_for_update().get(pk=testbed.pk)
        require_deletable(locked)
        require_confirmed(erased_testbed(locked), confirm)
        clean_up_after(locked)
        item = keep_testbed(locked, user)
        mark(testbed.directory, item.key if item else "")
        locked.delete()
    _throw_away(testbed.directory)
    return item


def require_deletable(testbed: Testbed) -> None:
    """Raise TestbedBusy, StateError or Protected when it has to stay.

    A part of it runs or was seen, or its data is protected.
    """
    require_unprotected(testbed, None)
    require_no_run(Run.objects.filter(testbed=testbed))
    held = things_there(last_observations()).get(testbed.slug, [])
    named = [f"{thing.kind} {thing.name} on {host}" for host, thing in held]
    more = f" and {len(named) - NAMED} more" if len(named) > NAMED else ""
    what = f": {', '.join(named[:NAMED])}{more}" if named else ""
    if testbed.condition in Testbed.DEPLOYED or speaks_for(testbed, held):
        raise StateError(
            f"Some of this testbed is still there{what}.",
            hint="Stop it with Down first.",
        )
    if named:
        raise StateError(
            f"The hosts hold things of this testbed that it does not know{what}.",
            hint="Ask a lab admin to delete or adopt them: they are among the orphans.",
        )


def list_examples() -> list[Example]:
    """Return the examples that ship, those that can be brought up and small ones first.

    Those with a disk to replace come after them.
    """
    yamls = Path(settings.EXAMPLES_DIR).glob(f"*/{YAML_NAME}")
    found = [_example(path) for path in yamls]
    return sorted(
        found, key=lambda e: (bool(e.missing), e.needs_disk, e.guests, e.name)
    )


def read_example(name: str) -> dict[str, bytes]:
    """Return an example's files. Raises: StateError when there is none."""
    if name not in {example.name for example in list_examples()}:
        raise StateError(f"There is no example {name!r}.", hint="Choose another one.")
    root = Path(settings.EXAMPLES_DIR) / name
    return {
        path.relative_to(root).as_posix(): path.read_bytes()
        for path in sorted(root.rglob("*"))
        if path.is_file()
    }


def _example(path: Path) -> Example:
    text = path.read_text(encoding="utf-8")
    spec = load_spec(text).spec or Spec()
    comment = takewhile(lambda line: line.startswith("#"), text.splitlines())
    about = " ".join(line.strip("# ") for line in comment).strip()
    ovn = spec.network.ovn
    return Example(
        name=path.parent.name,
        about=about,
        guests=sum(_guests(machine) for machine in spec.machines),
        bridges=len(spec.network.bridges),
        switches=len(ovn.switches) if ovn else 0,
        missing=not_built(spec),
        needs_disk=any(_brings_disk(machine) for machine in spec.machines),
    )


def _brings_disk(machine: Machine) -> bool:
    kind = machine.kind
    return isinstance(kind, Libvirt) and not isinstance(kind.libvirt_type, CloudImage)


def _guests(machine: Machine) -> int:
    return len(machine.scaling.clones) if machine.scaling else 1


def allocate(user: User, name: str, files_bytes: int) -> Testbed:
    """Take a free number and a new key; another request may take them, so repeat.

    Raises: NameTaken, LimitReached, StateError.
    """
    _require_allowed(user, files_bytes)
    for _ in range(ATTEMPTS):
        number, lost = _free_number(), orphan_names()
        try:
            with transaction.atomic():
                wait_for_other_uploads(user)
                require_free(user, name)
                _require_allowed(user, files_bytes)
                return Testbed.objects.create(
                    owner=user,
                    slug=_free_key(lost),
                    name=name,
                    number=number,
                    files_bytes=files_bytes,
                )
        except IntegrityError:
            continue
    raise StateError("The testbed could not be created.", hint="Try again.")


def _require_allowed(user: User, files_bytes: int) -> None:
    require_testbed(user)
    elsewhere = files_bytes_of(user)
    require_files(user, in_testbed=files_bytes, elsewhere=elsewhere)


def _free_key(lost: Collection[str]) -> str:
    """Return a key that nothing has: no testbed, no folder, nothing on hosts.

    The count of an older database gives keys again whose testbeds were lost with it.
    """
    while True:
        key = next_key()
        is_there = (Path(settings.TESTBEDS_DIR) / key).exists() or key in lost
        if not is_there and not Testbed.objects.filter(slug=key).exists():
            return key


def _throw_away(folder: Path) -> None:
    try:
        throw_away(folder)
    except OSError as exc:
        logger.warning("%s is removed by a worker, later: %s", folder, exc)


def _free_number() -> int:
    """Return the smallest number that is free and does not rest.

    The resting ones are read last: a number whose testbed is deleted meanwhile is
    among those or among the testbeds'. Raises: StateError.
    """
    taken = {*Testbed.objects.values_list("number", flat=True), *orphan_numbers()}
    resting = JumpReach.objects.all_numbers() - taken
    numbers = min(NUMBER_LIMIT, settings.ADDRESS_POOLS.size)
    free = set(range(numbers)) - taken
    if free - resting:
        return min(free - resting)
    if not free:
        raise StateError(
            f"There are already {numbers} testbeds.",
            hint="Delete one that is not needed.",
        )
    raise StateError(
        f"All {numbers} numbers of testbeds are taken or rest: users' open SSH "
        "connections may still lead to the addresses of deleted testbeds. A number "
        f"rests for {JumpReach.REST_H} hours at most, while all hosts answer.",
        hint="Try again later, or ask a lab admin to end the connections: docs/ssh.md.",
    )


def _write(testbed: Testbed, files: Mapping[str, bytes]) -> None:
    """Write each file whole or not at all."""
    for name, content in files.items():
        target = testbed.project.file(safe_path(composed(name)))
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            write_whole(target, content)
        except (FileExistsError, IsADirectoryError, NotADirectoryError) as exc:
            raise PathOutside(
                f"{name!r} is a file in one place and a folder in another.",
                hint="Rename one of them.",
            ) from exc


def _bytes_of(files: Mapping[str, bytes]) -> int:
    return sum(map(len, files.values()))
