"""Fetches a testbed's files in a worker: one fetch of an owner at a time.

A quarter of the workers, at least one, fetches at once: servers that users choose may be
slow. A fetch waits while a run is active. The files are written through the same door as
uploads, all or none: where a file was edited here and changed in the repository, nothing
is written, and the fetch ends as a conflict for a user to decide.
"""

import logging
from collections.abc import Mapping
from datetime import timedelta

from celery import shared_task
from django.conf import settings
from django.utils import timezone

from orchestration.errors import StateError, TestbedBusy, TestbedError
from orchestration.project.digests import digest_of_file
from orchestration.terminal import plain
from orchestration.transport.names import own_addresses
from orchestration.transport.reachable import HOST
from orchestration.transport.ssh.first_contact import ask_host_key
from testbed.access.permissions import Act
from testbed.access.record import write_on_testbed
from testbed.celery import request_fetch
from testbed.models import Fetch, Source, Testbed
from testbed.models.hosts import addresses_of_lab
from testbed.models.runs import require_no_run
from testbed.models.sources.rows import LOST_AFTER, MOST_SAID
from testbed.outside import Address, choose, resolve
from testbed.sources.comparing import Comparison, Sides, compare, digest_of
from testbed.sources.git import USUAL, Commit, FetchFailed, Rules, fetch_commit
from testbed.sources.keys import private_key_of
from testbed.sources.places import Place, SourceRefused, place_of
from testbed.sources.ssh_line import Keys
from testbed.sources.ups import bring_up
from testbed.testbeds.files import files_locked, update_files
from testbed.testbeds.stored_files import list_files
from testbed.testbeds.texts import read_text

logger = logging.getLogger(__name__)
Status = Fetch.Status
NETWORKS_SETTING = "TESTBED_GIT_NETWORKS"
SEND_AGAIN_AFTER = timedelta(seconds=20)
# Of the repository's side of a conflict, for the page.
MOST_TEXT, MOST_TEXTS = 64 * 1024, 512 * 1024
NAMED = 5
MOST_PATHS = 100  # of each kind that a fetch keeps; its words have the counts
UNEXPECTED = "The fetch ended with an unexpected error; the worker's log has it."


@shared_task(name="testbed.tasks.sources.fetch", ignore_result=True)
def fetch(pk: int) -> None:
    """Do a fetch that waits, unless a run is active."""
    fetch_once(pk)


def fetch_once(pk: int, rules: Rules = USUAL) -> Fetch | None:
    """Do a fetch; return its row, or None when it is not its turn."""
    row = Fetch.objects.claim(pk, timezone.now(), most=_most_at_once())
    if row is None:
        mine = Fetch.objects.filter(pk=pk, status=Status.WAITING, said="")
        mine.update(said="It waits for other fetches.")
        return None
    row.started_at = timezone.now()
    try:
        require_no_run(row.testbed.runs.all())
        _fetch(row, rules)
    except TestbedBusy as exc:
        row.status, row.said = Status.WAITING, f"It waits: {exc.message}"
    except TestbedError as exc:
        row.status, row.said = Status.FAILED, exc.sentence
    except Exception:  # the row would be busy until it counts as lost
        logger.exception("fetch %d of %s", row.pk, row.testbed)
        row.status, row.said = Status.FAILED, UNEXPECTED
    _save(row)
    if row.then_up and row.status == Status.SUCCEEDED:
        bring_up(row.testbed_id)
    for following in Fetch.objects.next_ones(most=_most_at_once()):
        request_fetch(following)
    return row


def _most_at_once() -> int:
    return max(1, settings.CELERY_WORKER_CONCURRENCY // 4)


def send_fetches_again() -> int:
    """Send fetches that wait, and end those whose worker was lost; return how many."""
    now = timezone.now()
    lost = Fetch.objects.filter(status=Status.RUNNING, started_at__lt=now - LOST_AFTER)
    said = "The worker that fetched was lost. Fetch again."
    count = lost.update(status=Status.FAILED, said=said, ended_at=now)
    waiting = Fetch.objects.filter(
        status=Status.WAITING, asked_at__lt=now - SEND_AGAIN_AFTER
    )
    for pk in waiting.order_by("pk").values_list("pk", flat=True):
        request_fetch(pk)
        count += 1
    return count


def _save(row: Fetch) -> None:
    row.said = plain(" ".join(row.said.split()))[:MOST_SAID]
    if not row.is_active:
        row.ended_at = timezone.now()
        trouble = "" if row.status == Status.SUCCEEDED else row.said
        Source.objects.filter(testbed=row.testbed_id).update(trouble=trouble)
    mine = Fetch.objects.filter(pk=row.pk, status=Status.RUNNING)
    mine.update(
        status=row.status,
        said=row.said,
        ended_at=row.ended_at,
        commit=row.commit,
        author=row.author,
        subject=row.subject,
        changes=row.changes,
    )


def _fetch(row: Fetch, rules: Rules) -> None:
    """Fetch and apply. Raises: TestbedError, TestbedBusy (a run began meanwhile)."""
    source = Source.objects.filter(testbed=row.testbed).first()
    if source is None:
        raise StateError("The testbed has no source any more.")
    place = place_of(source.url, rules.protocols)
    address = _address_of(place)
    keys = _keys_of(source, place, address)
    found = fetch_commit(place, address, source.branch, source.folder, keys, rules)
    row.commit, row.author, row.subject = found.commit, found.author, found.subject
    with files_locked(row.testbed):
        # Another address or branch may have been set meanwhile.
        now = Source.objects.filter(testbed=row.testbed).first()
        if now is None or now.set_at != source.set_at:
            raise StateError("The source was changed meanwhile.", hint="Fetch again.")
        require_no_run(row.testbed.runs.all())
        _apply(row, now, found)


def _address_of(place: Place) -> Address | None:
    """Return the address to call. Raises: AddressRefused, FetchFailed (no name)."""
    if not place.host:
        return None
    try:
        found = resolve(place.host, place.port)
    except (OSError, UnicodeError) as exc:
        why = getattr(exc, "strerror", None) or str(exc)
        raise FetchFailed(
            f"The name {place.host} has no address: {why}.", hint="Correct it."
        ) from exc
    refused = addresses_of_lab(own_addresses())
    return choose(found, settings.GIT_NETWORKS, NETWORKS_SETTING, refused=refused)


def _keys_of(source: Source, place: Place, address: Address | None) -> Keys | None:
    """Return the keys for ssh; without a confirmed host key note the present one.

    Raises: SourceRefused (it has to be confirmed), HostUnreachable.
    """
    if not place.is_ssh or address is None:
        return None
    if not source.host_key:
        seen = ask_host_key(
            place.host,
            str(address),
            place.port,
            limits=HOST,
            runtime_dir=settings.RUNTIME_DIR,
        )
        unpinned = Source.objects.filter(pk=source.pk, url=source.url, host_key="")
        unpinned.update(seen_key=seen.line)
        raise SourceRefused(
            f"The host key of {place.host} is not confirmed yet.",
            hint="Compare its fingerprint on the page Source, and confirm it.",
        )
    return Keys(private_key_of(source.testbed), source.host_key)


def _apply(row: Fetch, source: Source, found: Commit) -> None:
    """Write what changed, or note a conflict; the caller holds the files' lock."""
    testbed = row.testbed
    here = _digests_of(testbed)
    there = {path: digest_of(content) for path, content in found.files.items()}
    result = compare(
        source.manifest,
        here,
        there,
        decided=_decided(row),
        takes=row.decision == Fetch.Decision.TAKE,
    )
    row.changes = {
        "added": result.added[:MOST_PATHS],
        "changed": result.changed[:MOST_PATHS],
        "removed": result.removed[:MOST_PATHS],
        "kept": result.kept[:MOST_PATHS],
    }
    if result.conflicts:
        _drop_texts(testbed)
        row.changes["conflicts"] = _sides(result.conflicts, found.files)
        row.status = Status.CONFLICT
        row.said = (
            f"{_named(list(result.conflicts))} changed here and in the repository. "
            "Nothing was written; decide which to use."
        )
        return
    _write(row, result, found)
    source.commit, source.author, source.subject = row.commit, row.author, row.subject
    source.committed_at, source.fetched_at = found.committed_at, timezone.now()
    source.manifest = there
    fields = ["commit", "author", "subject", "committed_at", "fetched_at", "manifest"]
    if row.then_up and source.up_by_id and (result.written or result.removed):
        source.up_commit = row.commit
        fields.append("up_commit")
    source.save(update_fields=fields)
    row.status, row.said = Status.SUCCEEDED, _said(result)


def _write(row: Fetch, result: Comparison, found: Commit) -> None:
    if not (result.written or result.removed):
        return
    files = {path: found.files[path] for path in result.written}
    update_files(
        row.testbed,
        files,
        without=result.removed,
        to_trash=[*result.removed, *result.replaced],
    )
    what = f"fetched commit {row.commit[:10]} for {row.who}: {_said(result)}"
    write_on_testbed(None, Act.EDIT.name.lower(), row.testbed, what)


def _digests_of(testbed: Testbed) -> dict[str, str]:
    files = testbed.project.files
    return {path: digest_of_file(files / path) for path in list_files(testbed)}


def _decided(row: Fetch) -> dict[str, Sides]:
    """Return the conflicts that a user decided, when the commit is still the same."""
    seen = row.decides
    if seen is None or not row.decision or seen.commit != row.commit:
        return {}
    found = seen.changes.get("conflicts", [])
    return {each["path"]: (each["here"], each["there"]) for each in found}


def _sides(
    conflicts: Mapping[str, Sides], files: Mapping[str, bytes]
) -> list[dict[str, object]]:
    """Return the files in conflict, with the repository's texts where there is room."""
    found, room = list[dict[str, object]](), MOST_TEXTS
    for path, (here, there) in conflicts.items():
        content = files.get(path, b"")
        text = read_text(content) if len(content) <= min(MOST_TEXT, room) else None
        room -= len(content) if text else 0
        side = {"path": path, "here": here, "there": there, "size": len(content)}
        found.append({**side, "text": text.text if text else None})
    return found


def _said(result: Comparison) -> str:
    counts = {
        "added": result.added,
        "changed": result.changed,
        "removed": result.removed,
        "kept as edited here": result.kept,
    }
    parts = [f"{len(paths)} {word}" for word, paths in counts.items() if paths]
    return f"{', '.join(parts)}." if parts else "Nothing changed."


def _drop_texts(testbed: Testbed) -> None:
    """Drop the texts of the conflict before, which is decided or out of date."""
    conflicts = Fetch.objects.filter(testbed=testbed, status=Status.CONFLICT)
    if (before := conflicts.first()) is not None:
        for side in before.changes.get("conflicts", []):
            side["text"] = None
        before.save(update_fields=["changes"])


def _named(paths: list[str]) -> str:
    more = f" and {len(paths) - NAMED} more" if len(paths) > NAMED else ""
    return f"{', '.join(paths[:NAMED])}{more}"
