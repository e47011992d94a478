"""Images that are saved of a testbed's guests, without any machine."""

import hashlib

from django.contrib.auth.models import User

from orchestration.providers.images.digests import Digest, write_stamp
from testbed.models import Run, SavedImage, Testbed
from testbed.runs.creation import create_saving
from testbed.runs.outcome import finish_run


def begun(testbed: Testbed, user: User, name: str = "base", guest: str = "web") -> Run:
    """Begin to save a guest that is off."""
    return create_saving(testbed, user, {guest: name}, shut_down=False)


def written(image: SavedImage, content: bytes = b"image") -> SavedImage:
    """Write an image's file, as its instruction does."""
    image.path.write_bytes(content)
    write_stamp(image.path, Digest("sha256", hashlib.sha256(content).hexdigest()))
    return image


def made(testbed: Testbed, user: User, name: str = "base") -> SavedImage:
    """Save a guest as an image to the end."""
    run = begun(testbed, user, name)
    written(SavedImage.objects.get(run=run))
    finish_run(run.pk, Run.Status.SUCCEEDED)
    return SavedImage.objects.get(name=name, owner=user)
