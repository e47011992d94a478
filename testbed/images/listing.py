"""The hosts' images for an admin: listed as last seen, deleted by a worker.

Called by the images' page. Nothing here asks a host: `pruning` looks periodically or
on request, and judges each image anew before it is deleted.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, fields
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import F, Q
from django.utils import timezone

from orchestration.amounts import count_of
from orchestration.errors import StateError
from orchestration.inventory.images import ImageKind, StoredImage, freed_bytes
from testbed.access.record import write
from testbed.celery import request_cleanup, request_image_observation
from testbed.images.deletion import IMAGE, LEFTOVERS
from testbed.models import Cleanup, Host, ImageStore, Testbed
from testbed.models.record.entries import IMAGES
from testbed.pages.waiting import Unclaimed, unclaimed_look
from testbed.testbeds.erasure.losses import Erasure, Loss, Sort, require_confirmed

NAME = "unused images"
DELETE_IMAGES = "delete-images"
# No page waits longer for a worker: the next periodic look is due by then.
LOOKING_FOR = timedelta(minutes=10)


@dataclass(frozen=True, slots=True)
class SeenImage:
    """One image as last seen; `testbeds` has each with its number of guests that need it.

    `others` are domains and disks of no testbed, and testbeds without a row.
    """

    host: str
    stored: StoredImage
    label: str
    kept: str
    testbeds: tuple[tuple[Testbed, int], ...]
    others: tuple[str, ...]

    @property
    def pick(self) -> str:
        """The image's value in a form."""
        return f"{self.host}:{self.stored.name}"

    @property
    def is_unused(self) -> bool:
        """Return whether the image was judged to have no user."""
        return not (self.testbeds or self.others or self.kept)

    @property
    def is_base(self) -> bool:
        """Return whether it is downloaded again when it is missing."""
        return self.stored.kind is ImageKind.BASE

    @property
    def used_at(self) -> datetime:
        """The time when it was put there or last read."""
        return datetime.fromtimestamp(self.stored.used_at, UTC)


@dataclass(frozen=True, slots=True)
class SeenStore:
    """One host's images as last seen."""

    host: Host
    row: ImageStore | None
    images: tuple[SeenImage, ...] = ()

    @property
    def pick(self) -> str:
        """The value of the host's leftovers in a form."""
        return f"{self.host.name}:"

    @property
    def unused(self) -> tuple[SeenImage, ...]:
        """The images that may be deleted."""
        return tuple(image for image in self.images if image.is_unused)

    @property
    def kept(self) -> str:
        """The reasons why unused images stay here, the same for all of them."""
        return next((image.kept for image in self.images if image.kept), "")

    @property
    def leftovers(self) -> int:
        """The number of unfinished files."""
        return len(self.row.leftovers) if self.row else 0

    @property
    def leftover_bytes(self) -> int:
        """The size of the unfinished files."""
        files = self.row.leftovers if self.row else ()
        return sum(int(file["disk_bytes"]) for file in files)


@dataclass(frozen=True, slots=True)
class Selection:
    """The unused things that an admin chose, among the stores of some hosts."""

    images: tuple[SeenImage, ...] = ()
    stores: tuple[SeenStore, ...] = ()
    among: tuple[SeenStore, ...] = ()

    @property
    def picks(self) -> tuple[str, ...]:
        """The values of all chosen things in a form."""
        images = (image.pick for image in self.images)
        return (*images, *(store.pick for store in self.stores))

    @property
    def bytes(self) -> int:
        """The bytes that deleting them frees."""
        hosts: dict[str, list[StoredImage]] = {}
        for image in self.images:
            hosts.setdefault(image.host, []).append(image.stored)
        left = sum(store.leftover_bytes for store in self.stores)
        return sum(map(freed_bytes, hosts.values())) + left

    @property
    def has_base(self) -> bool:
        """Return whether one of them will be downloaded again."""
        return any(image.is_base for image in self.images)


def seen_stores() -> list[SeenStore]:
    """Return all hosts' images as last seen; main first."""
    hosts = Host.objects.select_related("image_store")
    stores = [(host, getattr(host, "image_store", None)) for host in hosts]
    images = (image for _, row in stores if row for image in row.images)
    keys = {key for image in images for key in image["testbeds"]}
    testbeds = Testbed.objects.select_related("owner").in_bulk(keys, field_name="slug")
    return [_seen(host, row, testbeds) for host, row in stores]


def selected(stores: Iterable[SeenStore], picks: Collection[str]) -> Selection:
    """Return the deletable things that a form chose; all of them when it says `all`."""
    stores, is_all = list(stores), "all" in picks
    return Selection(
        tuple(
            image
            for store in stores
            for image in store.unused
            if is_all or image.pick in picks
        ),
        tuple(s for s in stores if s.leftovers and (is_all or s.pick in picks)),
        tuple(stores),
    )


def erased_images(chosen: Selection) -> Erasure:
    """Return what the deletion of the chosen images erases."""
    images = [
        Loss(
            Sort.IMAGE,
            image.stored.name,
            image.host,
            image.stored.disk_bytes,
            " ".join(filter(None, (image.stored.kind, image.label))),
        )
        for image in chosen.images
    ]
    left = [
        Loss(
            Sort.FILE,
            count_of(store.leftovers, "unfinished file"),
            store.host.name,
            store.leftover_bytes,
        )
        for store in chosen.stores
    ]
    looks = [store.row.seen_at for store in chosen.among if store.row]
    seen_at = min(filter(None, looks), default=None)
    return Erasure(DELETE_IMAGES, NAME, (*images, *left), seen_at=seen_at)


def delete_images(picks: Collection[str], user: User, *, confirm: str = "") -> Cleanup:
    """Request the deletion of the confirmed images by a worker.

    Raises: StateError (none of them is there, or unused, any more), TestbedBusy,
    Unconfirmed.
    """
    chosen = selected(seen_stores(), picks)
    if not chosen.picks:
        raise StateError(
            "None of these images is unused any more; nothing was deleted.",
            hint="Look at the list again.",
        )
    require_confirmed(erased_images(chosen), confirm)
    things = [(image.host, IMAGE, image.stored.name) for image in chosen.images]
    things += [(s.host.name, LEFTOVERS, "unfinished files") for s in chosen.stores]
    with transaction.atomic():
        cleanup = Cleanup.objects.begin(
            NAME, user, things, subject=Cleanup.Subject.IMAGES
        )
        count = count_of(len(things), "item")
        write(user, IMAGES, f"asked to delete {count}", thing="images")
        transaction.on_commit(partial(request_cleanup, cleanup.pk))
        return cleanup


def refresh_images() -> None:
    """Request a look at all hosts."""
    now = timezone.now()
    for host in Host.objects.all():
        ImageStore.objects.update_or_create(host=host, defaults={"asked_at": now})
    transaction.on_commit(request_image_observation)


def waited_look() -> tuple[bool, Unclaimed | None]:
    """Return whether a requested look waits, and how long no worker took it."""
    unseen = Q(looked_at=None) | Q(looked_at__lt=F("asked_at"))
    since = timezone.now() - LOOKING_FOR
    asked = ImageStore.objects.filter(unseen, asked_at__gt=since).order_by("asked_at")
    first = asked.values_list("asked_at", flat=True).first()
    return first is not None, unclaimed_look(first)


def _seen(
    host: Host, row: ImageStore | None, testbeds: Mapping[str, Testbed]
) -> SeenStore:
    if row is None:
        return SeenStore(host, None)
    found = (_image(host.name, image, testbeds) for image in row.images)
    order = sorted(found, key=lambda i: (not i.is_unused, i.stored.kind, i.stored.name))
    return SeenStore(host, row, tuple(order))


def _image(
    host: str, saved: Mapping[str, Any], testbeds: Mapping[str, Testbed]
) -> SeenImage:
    """Read an image from its row."""
    values = {field.name: saved[field.name] for field in fields(StoredImage)}
    values["kind"] = ImageKind(values["kind"])
    users: dict[str, int] = saved["testbeds"]
    there = [(testbeds[key], count) for key, count in users.items() if key in testbeds]
    lost = (f"{key} (orphans)" for key in users if key not in testbeds)
    return SeenImage(
        host,
        StoredImage(**values),
        label=saved["label"],
        kept=saved["kept"],
        testbeds=tuple(there),
        others=(*lost, *saved["others"]),
    )
