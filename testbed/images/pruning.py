"""Judges the images on the hosts by their users, and deletes unused ones.

Every host is asked in parallel and on its own. Images that a silent host or a broken
state may need stay, and the report names the reason. Called by `manage.py
prune_images`, by Celery beat for the page, by the hourly sweep for copies of users'
disks, and by a deletion that an admin requested. Each image is judged anew right before
it is deleted.
"""

import logging
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from pathlib import Path, PurePosixPath

from celery import shared_task
from django.conf import settings
from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from orchestration.compose.catalogue import load_catalogue
from orchestration.errors import ImageFailed
from orchestration.hosts import Hosts
from orchestration.inventory.image_uses import Claims, Verdict, judge, merged
from orchestration.inventory.images import (
    ABANDONED_S,
    Leftover,
    Store,
    StoredImage,
    Use,
    freed_bytes,
    has_store,
    observe,
)
from orchestration.inventory.pruning import (
    Locks,
    is_ripe,
    remove_image,
    remove_leftovers,
)
from orchestration.providers.images.locks import remove_old_locks
from orchestration.transport.base import Scope
from orchestration.transport.reachable import require_answer
from testbed.images.needs import KnownStates
from testbed.models import Host, ImageStore, SavedImage
from testbed.worker import ASKED_AT_ONCE, ErrorsTold, kept_hosts

logger = logging.getLogger(__name__)
CATALOGUE = "the image catalogue"


@dataclass(slots=True)
class HostImages:
    """One host's images as judged, and the outcome of deleting them.

    `problem` is the reason why the host could not be asked. `outcomes` has, for each
    image to delete, the reason why it stayed, or an empty text.
    """

    host: Host
    problem: str = ""
    store: Store = field(default_factory=lambda: Store(""))
    verdicts: tuple[Verdict, ...] = ()
    outcomes: dict[str, str] = field(default_factory=dict)
    swept: frozenset[str] = frozenset()

    def note(self, problem: str) -> None:
        """Keep the reason why the host could not be asked."""
        self.problem = problem

    @property
    def removed(self) -> list[StoredImage]:
        """The images that were deleted."""
        images = (verdict.image for verdict in self.verdicts)
        return [image for image in images if self.outcomes.get(image.name) == ""]

    @property
    def left(self) -> list[StoredImage]:
        """The images that were not deleted."""
        images = (verdict.image for verdict in self.verdicts)
        return [image for image in images if self.outcomes.get(image.name) != ""]

    @property
    def unused(self) -> list[StoredImage]:
        """The images without a user."""
        return [verdict.image for verdict in self.verdicts if verdict.is_unused]

    @property
    def ripe(self) -> list[Leftover]:
        """The leftovers that were not written to for long."""
        now = self.store.now
        return [left for left in self.store.leftovers if is_ripe(left, now)]

    @property
    def freed_bytes(self) -> int:
        """The bytes that the deletion freed."""
        swept = (left for left in self.store.leftovers if left.path in self.swept)
        return freed_bytes(self.removed) + sum(left.disk_bytes for left in swept)


# Decides whether an unused image of a host is to be deleted.
Choice = Callable[[HostImages, Verdict], bool]
# Receives, for each image to delete, the reason why it stayed, or an empty text.
OnImage = Callable[[HostImages, Verdict, str], None]


class Images:
    """All hosts' images as observed once, and the means to delete some of them."""

    def __init__(self, hosts: Hosts) -> None:
        self._hosts = hosts
        self._states = KnownStates()
        self._locks = Locks(Path(settings.IMAGES_DIR))
        self._asked: list[HostImages] = []

    def observe(self, names: Iterable[str] = ()) -> list[HostImages]:
        """Observe these hosts, or all, and judge; judging main needs all hosts."""
        rows = list(Host.objects.all())
        wanted = set(names) or {row.name for row in rows}
        asks_all = any(row.is_main and row.name in wanted for row in rows)
        asked = [row for row in rows if asks_all or row.name in wanted]
        with ThreadPoolExecutor(ASKED_AT_ONCE) as pool:
            self._asked = list(pool.map(self._look_at, asked))
        for found in self._asked:
            found.verdicts = self._judge(found, found.store)
        return [found for found in self._asked if found.host.name in wanted]

    def prune(
        self, found: HostImages, choice: Choice, on_image: OnImage | None = None
    ) -> None:
        """Delete the unused images in `choice`; a problem is noted, not raised."""
        for verdict in found.verdicts:
            if found.problem or not (verdict.is_unused and choice(found, verdict)):
                continue
            kept = self._remove(found, verdict.image)
            found.outcomes[verdict.image.name] = kept
            logger.info("%s: %s: %s", found.host, verdict.image.name, kept or "removed")
            if on_image is not None:
                on_image(found, verdict, kept)

    def sweep(self, found: HostImages) -> None:
        """Delete dead workers' files and old locks; a problem is noted, not raised."""
        if found.problem:
            return
        with ErrorsTold(f"The sweep of the images on {found.host}", found.note):
            host = self._hosts.open(found.host.to_state())
            found.swept = remove_leftovers(
                host, found.ripe, locks=self._locks, scope=Scope()
            )
        if found.host.is_main:
            remove_old_locks(self._locks.folder, age_s=ABANDONED_S)
        for path in sorted(found.swept):
            logger.info("%s: removed %s, left by a dead worker", found.host, path)

    def _look_at(self, row: Host) -> HostImages:
        state = row.to_state()
        if not has_store(state):
            return HostImages(row)
        found = HostImages(row)
        with ErrorsTold(f"The look at the images on {row}", found.note):
            host = self._hosts.open(state)
            require_answer(host.transport)
            found.store = observe(host, scope=Scope())
        return found

    def _remove(self, found: HostImages, image: StoredImage) -> str:
        def is_unused() -> bool:
            (verdict,) = self._judge(found, replace(found.store, images=(image,)))
            return verdict.is_unused

        with ErrorsTold(f"The deletion of images on {found.host}", found.note):
            return remove_image(
                self._hosts.open(found.host.to_state()),
                image,
                locks=self._locks,
                is_unused=is_unused,
                scope=Scope(),
            )
        return found.problem

    def _judge(self, found: HostImages, store: Store) -> tuple[Verdict, ...]:
        known = self._states.read()
        unknown, claimed = [*known.unknown], [known.claims]
        others: Sequence[HostImages] = ()
        if found.host.is_main:
            others = [other for other in self._asked if other is not found]
            unknown += [f"{o.host} could not be asked" for o in others if o.problem]
            unknown += [f"{o.host}: {p}" for o in others for p in o.store.unreadable]
            try:
                claimed.append(_catalogued(found.host.name))
            except ImageFailed as exc:
                unknown.append(exc.message)
        return judge(
            store,
            found.host.to_state(),
            merged(claimed),
            others=[other.store.uses for other in others],
            unknown=unknown,
        )


def look_at_images(hosts: Hosts) -> list[HostImages]:
    """Observe all hosts' images and save the result for the page."""
    began = timezone.now()
    seen = Images(hosts).observe()
    for found in seen:
        save(found, began)
    return seen


def save(found: HostImages, began: datetime) -> None:
    """Save the images of one host; a silent host keeps its old ones, with the reason.

    A host that was removed meanwhile has no images any more, and a look that began
    later takes precedence. `asked_at` stays: a new request may come meanwhile.
    """
    values: dict[str, object] = {"problem": found.problem, "looked_at": began}
    if not found.problem:
        values |= {
            "images": [_image(verdict) for verdict in found.verdicts],
            "leftovers": [asdict(left) for left in found.ripe],
            "total_bytes": found.store.total_bytes,
            "free_bytes": found.store.free_bytes,
            "projects_free_bytes": found.store.projects_free_bytes,
            "artefact_bytes": found.store.artefact_bytes,
            "seen_at": began,
        }
    with transaction.atomic():
        if Host.objects.filter(pk=found.host.pk).exists():
            row, _ = ImageStore.objects.get_or_create(host=found.host)
            # A future time is from before the clock was set back.
            newer = Q(looked_at__gt=began, looked_at__lte=timezone.now())
            before = ImageStore.objects.exclude(newer)
            before.filter(pk=row.pk).update(**values)


@shared_task(name="testbed.tasks.images.observe_images", ignore_result=True)
def observe_images() -> None:
    """Observe once; overlapping calls are harmless."""
    look_at_images(kept_hosts())


def _image(verdict: Verdict) -> dict[str, object]:
    """Return an image as it is saved: guests are counted, not named."""
    testbeds = Counter(use.testbed for use in verdict.uses if use.testbed)
    return {
        **asdict(verdict.image),
        "label": verdict.label,
        "kept": verdict.kept,
        "testbeds": dict(sorted(testbeds.items())),
        "others": [use.guest for use in verdict.uses if not use.testbed],
    }


def _catalogued(main: str) -> Claims:
    """Return the files that the catalogue needs: an admin may keep them there."""
    local = settings.LOCAL_CATALOGUE
    images = load_catalogue(local if local.exists() else None).values()
    names = {PurePosixPath(image.path).name for image in images if image.path}
    # Those that a run saves now, too.
    saved = SavedImage.objects.kept().select_related("owner")
    labels = {one.file: f"image {one} of {one.owner}" for one in saved}
    use = frozenset({Use("", CATALOGUE)})
    return Claims({(main, name): use for name in names | labels.keys()}, labels)
