"""Which saved images a user sees and deletes, for pages and programs."""

from django.contrib.auth.models import User

from testbed.access.permissions import is_admin
from testbed.models import SavedImage
from testbed.models.images import SavedImageQuerySet


def visible_images(user: User) -> SavedImageQuerySet:
    """Return the images that a user may name, and the user's own ones of any state.

    Lab admins see those of all users.
    """
    if is_admin(user):
        return SavedImage.objects.all()
    own = SavedImage.objects.filter(owner=user)
    return own | SavedImage.objects.usable_by(user)


def deletable_images(user: User) -> SavedImageQuerySet:
    """Return the images that a user may delete: the own ones, a lab admin any."""
    kept = SavedImage.objects.kept()
    return kept if is_admin(user) else kept.filter(owner=user)


def image_json(image: SavedImage, user: User) -> dict[str, object]:
    """Return an image for programs; its testbed only to those who may know of it."""
    is_known = is_admin(user) or image.owner_id == user.pk
    return {
        "id": image.pk,
        "name": image.name,
        "owner": str(image.owner),
        "shared": image.is_shared,
        "ready": bool(image.sha256),
        "bytes": image.size_bytes,
        "sha256": image.sha256,
        "account": image.account,
        "origin": image.origin if is_known else "",
        "created_at": image.created_at,
    }
