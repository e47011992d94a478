"""Shares and deletes the images that users saved of guests, and says who uses each.

Deleting takes an image out of the catalogue at once; its files go with the next hourly
sweep, and never while a disk lies over them. An image that a YAML names, or a state, is
not deleted: the next Up of that testbed could not be planned.
"""

from pathlib import Path

from django.contrib.auth.models import User
from django.db import transaction

from orchestration.amounts import count_of
from orchestration.compose.language.schema import CloudImage, Libvirt
from orchestration.compose.loader import load_spec
from orchestration.errors import StateError, TestbedError
from testbed.access.record import write
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


def erased_image(image: SavedImage) -> Erasure:
    """Return what is erased when an image is deleted now."""
    loss = Loss(Sort.IMAGE, image.name, "", image.size_bytes, version=image.file)
    return Erasure("delete-image", str(image.pk), (loss,))


def delete_saved(image: SavedImage, user: User, *, confirm: str = "") -> None:
    """Take an image out of the catalogue. Raises: ImageInUse, StateError, Unconfirmed."""
    with transaction.atomic():
        image = SavedImage.objects.select_for_update().get(pk=image.pk)
        if not image.sha256:
            raise StateError(f"Image {image} is being saved.", hint="Cancel that run.")
        _require_unused(users_of(image), image, user, "deleted")
        require_confirmed(erased_image(image), confirm)
        image.delete()
    what = f"deleted image {image} of {image.owner}"
    write(user, IMAGES, what, thing=f"image {image}")


def share_with_all(image: SavedImage, user: User, *, is_shared: bool) -> None:
    """Let all users' YAMLs name an image, or its owner's alone again.

    Raises: StateError (all have one of its name), ImageInUse (others need it).
    """
    others = SavedImage.objects.filter(is_shared=True, name=image.name)
    is_taken = image.name in installed_catalogue() or others.exists()
    if is_shared and not image.is_shared and is_taken:
        raise StateError(
            f"All users have an image {image} already.",
            hint="Let its owner save it under another name.",
        )
    if not is_shared:
        others_of = [one for one in users_of(image) if one.owner_id != image.owner_id]
        _require_unused(others_of, image, user, "taken back")
    SavedImage.objects.filter(pk=image.pk).update(is_shared=is_shared)
    did = f"shared image {image} of {image.owner} with all"
    if not is_shared:
        did = f"took image {image} of {image.owner} back"
    write(user, IMAGES, did, thing=f"image {image}")


def users_of(image: SavedImage) -> list[Testbed]:
    """Return the testbeds whose state has an image, or whose YAML can name it and does."""
    return [
        testbed
        for testbed in Testbed.objects.select_related("owner")
        if _has(testbed, image)
        or (_can_name(testbed, image) and _names(testbed, image))
    ]


def _require_unused(
    testbeds: list[Testbed], image: SavedImage, user: User, act: str
) -> None:
    """Refuse what testbeds need; those that the user may not see are counted."""
    if not testbeds:
        return
    seen = set(Testbed.objects.all().visible_to(user).values_list("pk", flat=True))
    names = [str(one) for one in testbeds if one.pk in seen]
    hidden = len(testbeds) - len(names)
    words = names[:NAMED]
    if len(names) > NAMED:
        words.append(f"{len(names) - NAMED} more")
    if hidden:
        words.append(f"{count_of(hidden, 'testbed')} of others")
    raise ImageInUse(
        f"Image {image} cannot be {act}: it is used by {', '.join(words)}.",
        hint="Delete their disks and artefacts, and let their YAML name another image.",
    )


def _can_name(testbed: Testbed, image: SavedImage) -> bool:
    return image.is_shared or testbed.owner_id == image.owner_id


def _has(testbed: Testbed, image: SavedImage) -> bool:
    try:
        states = testbed.project.read_all()
    except StateError:  # the sweep keeps every image while a state cannot be read
        return False
    machines = (guest for state in states for guest in state.machines)
    return any(Path(guest.image.main_path).name == image.file for guest in machines)


def _names(testbed: Testbed, image: SavedImage) -> bool:
    yaml = testbed.project.yaml
    if not yaml.is_file():
        return False
    kinds = (one.machine.kind for one in load_spec(yaml.read_bytes()).draft.machines)
    disks = [kind.libvirt_type for kind in kinds if isinstance(kind, Libvirt)]
    return any(isinstance(one, CloudImage) and one.name == image.name for one in disks)
