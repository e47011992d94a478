"""Shares and deletes the images that users saved of guests.

Deleting takes an image out of the catalogue at once. A worker removes its files then, but
none over which a disk lies or that a state needs; until they are gone, the image counts to
its owner's disks (`stale_files`). An image that a testbed needs stays, as the next Up that
reads the YAML could not be planned; a lab admin may confirm that.
"""

from functools import partial

from django.contrib.auth.models import User
from django.db import IntegrityError, transaction
from django.utils import timezone

from orchestration.amounts import count_of
from orchestration.errors import StateError, TestbedError
from testbed.access.permissions import is_admin
from testbed.access.record import write
from testbed.celery import request_removal
from testbed.images.uses import users_of
from testbed.models import SavedImage, Testbed
from testbed.models.record.entries import IMAGES
from testbed.testbeds.erasure.losses import (
    Erasure,
    Loss,
    Sort,
    require_confirmed,
)
from testbed.testbeds.findings import installed_catalogue

NAMED = 5


class ImageInUse(TestbedError):
    """Testbeds need an image."""


def erased_image(image: SavedImage, user: User) -> Erasure:
    """Return what is erased when a user deletes an image now.

    A lab admin confirms which testbeds it is taken from. Raises: ImageInUse.
    """
    users = _unblocked(users_of(image), image, user, "deleted")
    loss = Loss(
        Sort.IMAGE,
        image.name,
        "",
        image.size_bytes,
        version=_version(image, users),
    )
    return Erasure(
        "delete-image",
        str(image.pk),
        (loss,),
        must_type=image.name if users else "",
        kept=_broken_by(
            users, "The file stays as long, and counts to the image's owner."
        ),
    )


def erased_share(image: SavedImage, user: User) -> Erasure:
    """Return what is erased when a lab admin takes an image back now: mostly nothing."""
    users = [one for one in users_of(image) if one.owner_id != image.owner_id]
    users = _unblocked(users, image, user, "taken back")
    loss = Loss(Sort.SHARED, f"image {image}", version=_version(image, users))
    return Erasure(
        "take-image-back",
        str(image.pk),
        (loss,) if users else (),
        must_type=image.name if users else "",
        kept=_broken_by(users),
    )


def delete_saved(image: SavedImage, user: User, *, confirm: str = "") -> None:
    """Take an image out of the catalogue. Raises: ImageInUse, StateError, Unconfirmed."""
    users_of(image)  # reads what changed before the row is locked
    with transaction.atomic():
        image = SavedImage.objects.select_for_update().get(pk=image.pk)
        if image.deleted_at:
            raise StateError(
                f"Image {image} is deleted already.", hint="Nothing to do."
            )
        if not image.sha256:
            raise StateError(f"Image {image} is being saved.", hint="Cancel that run.")
        require_confirmed(erased_image(image, user), confirm)
        SavedImage.objects.filter(pk=image.pk).update(deleted_at=timezone.now())
        what = f"deleted image {image} of {image.owner}"
        write(user, IMAGES, what, thing=f"image {image}")
        transaction.on_commit(partial(request_removal, [image.file]))


def share_with_all(
    image: SavedImage, user: User, *, is_shared: bool, confirm: str = ""
) -> None:
    """Let all users' YAMLs name an image, or its owner's alone again.

    Raises: StateError (all have one of its name), ImageInUse, Unconfirmed (others need
    it).
    """
    if not is_shared:
        users_of(image)
    try:
        with transaction.atomic():
            image = SavedImage.objects.ready().select_for_update().get(pk=image.pk)
            did = f"took image {image} of {image.owner} back"
            if is_shared:
                did = f"shared image {image} of {image.owner} with all"
                _require_free_name(image)
            else:
                require_confirmed(erased_share(image, user), confirm)
            SavedImage.objects.filter(pk=image.pk).update(is_shared=is_shared)
            write(user, IMAGES, did, thing=f"image {image}")
    except IntegrityError as exc:  # another one was shared at the same moment
        raise _taken(image) from exc
    except SavedImage.DoesNotExist as exc:
        raise StateError(
            f"Image {image} was deleted meanwhile.", hint="Load the page again."
        ) from exc


def _require_free_name(image: SavedImage) -> None:
    others = SavedImage.objects.kept().filter(is_shared=True, name=image.name)
    if image.name in installed_catalogue() or others.exclude(pk=image.pk).exists():
        raise _taken(image)


def _taken(image: SavedImage) -> StateError:
    return StateError(
        f"All users have an image {image} already.",
        hint="Let its owner save it under another name.",
    )


def _unblocked(
    users: list[Testbed], image: SavedImage, user: User, act: str
) -> list[Testbed]:
    """Return the testbeds that lose an image; only a lab admin lets them.

    To others those that they may not see are counted. Raises: ImageInUse.
    """
    if is_admin(user) or not users:
        return users
    seen = set(Testbed.objects.all().visible_to(user).values_list("pk", flat=True))
    names = [str(one.seen_by(user)) for one in users if one.pk in seen]
    hidden, words = len(users) - len(names), _first(names)
    if hidden:
        words.append(f"{count_of(hidden, 'testbed')} of others")
    raise ImageInUse(
        f"Image {image} cannot be {act}: it is used by {', '.join(words)}.",
        hint="Delete their disks and artefacts, and let their YAML name another image. "
        "A lab admin can delete it all the same.",
    )


def _broken_by(users: list[Testbed], more: str = "") -> tuple[str, ...]:
    if not users:
        return ()
    names = _first([one.full_name for one in users])
    return (
        f"It is used by {', '.join(names)}. Their guests and disks stay. An Up that reads "
        "the YAML again, after a Down or an edit, is refused until the YAML names "
        f"another image. {more}".strip(),
    )


def _first(names: list[str]) -> list[str]:
    more = [f"{len(names) - NAMED} more"] if len(names) > NAMED else []
    return [*names[:NAMED], *more]


def _version(image: SavedImage, users: list[Testbed]) -> str:
    return " ".join([image.file, *(str(one.pk) for one in users)])
