"""The hosts' images as last seen, and the images that users saved of guests.

`ImageStore` is written by `images.pruning` and, for requests, by `images.listing`. No
page asks a host.
"""

from pathlib import Path

from django.conf import settings
from django.contrib.auth.models import AbstractBaseUser, AnonymousUser, User
from django.db import models
from django.db.models import Q, Sum

from orchestration.compose.catalogue import Image
from orchestration.providers.images.digests import read_stamp
from testbed.models.hosts import Host
from testbed.models.runs import Run


class ImageStore(models.Model):
    """The images of one host.

    `images` are `orchestration.inventory.images.StoredImage`s as JSON, each with its
    users. A host that could not be asked (`problem`) at `looked_at` keeps the images
    that were seen at `seen_at`. `asked_at` is the time of the last request for a look.
    `projects_free_bytes` is empty until a host was looked at; a simulated one has none.
    """

    host = models.OneToOneField(
        Host, on_delete=models.CASCADE, related_name="image_store"
    )
    images = models.JSONField(default=list)
    leftovers = models.JSONField(default=list)
    total_bytes = models.PositiveBigIntegerField(default=0)
    free_bytes = models.PositiveBigIntegerField(default=0)
    projects_free_bytes = models.PositiveBigIntegerField(null=True)
    artefact_bytes = models.PositiveBigIntegerField(default=0)
    problem = models.TextField(blank=True)
    asked_at = models.DateTimeField(null=True, blank=True)
    looked_at = models.DateTimeField(null=True, blank=True)
    seen_at = models.DateTimeField(null=True, blank=True)

    def __str__(self) -> str:
        return f"{self.host}: {len(self.images)} images"


class SavedImageQuerySet(models.QuerySet["SavedImage"]):
    """Selects the images that a user may use."""

    def kept(self) -> "SavedImageQuerySet":
        """Return those that are not deleted: of the others only a file is left."""
        return self.filter(deleted_at=None)

    def deleted(self) -> "SavedImageQuerySet":
        """Return the deleted ones, whose file is still on a host."""
        return self.exclude(deleted_at=None)

    def ready(self) -> "SavedImageQuerySet":
        """Return the images that are whole."""
        return self.kept().exclude(sha256="")

    def usable_by(self, user: AbstractBaseUser | AnonymousUser) -> "SavedImageQuerySet":
        """Return the whole images that a YAML of this user may name."""
        if not isinstance(user, User):
            return self.none()
        return self.ready().filter(Q(owner=user) | Q(is_shared=True))

    def size_bytes(self) -> int:
        """Return the bytes that all of them take, deleted ones too."""
        return int(self.aggregate(sum=Sum("size_bytes"))["sum"] or 0)

    def bytes_by_owner(self) -> dict[int, int]:
        """Return the bytes of each owner's images by the user's number."""
        sums = self.order_by().values("owner").annotate(sum=Sum("size_bytes"))
        return dict(sums.values_list("owner", "sum"))

    def settle(self, run: Run) -> list[str]:
        """Keep the images of a run that is over, if all of them are whole, or none.

        Returns the files of those that are not kept.
        """
        rows = list(self.filter(run=run, sha256=""))
        stamps = [read_stamp(row.path) for row in rows]
        if not all(stamps):
            self.filter(pk__in=[row.pk for row in rows]).delete()
            return [row.file for row in rows]
        for row, stamp in zip(rows, stamps, strict=True):
            if stamp is not None:
                row.sha256, row.size_bytes = stamp.digest.value, stamp.size_bytes
                row.save(update_fields=["sha256", "size_bytes"])
        return []


class SavedImage(models.Model):
    """An image that a user saved of a guest; `origin` is `testbed/guest` of then.

    Its name is unique among its owner's, and among those that are shared. While `run`
    saves it, it has no `sha256`, and counts with the full size of the guest's disk.
    From `deleted_at` on no YAML can name it; the row counts the file until it is gone.
    `file` is its name in the images folders of all hosts; `account` the user that the
    guest's system knows.
    """

    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="saved_images"
    )
    name = models.CharField(max_length=63)
    file = models.CharField(max_length=40, unique=True)
    sha256 = models.CharField(max_length=64, blank=True)
    size_bytes = models.PositiveBigIntegerField()
    account = models.CharField(max_length=64)
    has_cloud_init = models.BooleanField()
    origin = models.CharField(max_length=160)
    is_shared = models.BooleanField(default=False)
    created_at = models.DateTimeField(auto_now_add=True)
    deleted_at = models.DateTimeField(null=True, blank=True)
    run = models.ForeignKey(Run, null=True, on_delete=models.SET_NULL)

    objects = SavedImageQuerySet.as_manager()

    class Meta:
        ordering = ("name", "pk")
        constraints = (
            models.UniqueConstraint(
                fields=["owner", "name"],
                condition=Q(deleted_at=None),
                name="one_saved_image_per_name",
            ),
            models.UniqueConstraint(
                fields=["name"],
                condition=Q(is_shared=True, deleted_at=None),
                name="one_shared_image_per_name",
            ),
        )

    def __str__(self) -> str:
        return self.name

    @property
    def path(self) -> Path:
        """Its file in main's images folder."""
        return Path(settings.IMAGES_DIR) / self.file

    @property
    def entry(self) -> Image:
        """It as an image of the catalogue."""
        return Image(
            name=self.name,
            path=str(self.path),
            sha256=self.sha256,
            size_bytes=self.size_bytes,
            user=self.account,
            has_cloud_init=self.has_cloud_init,
            is_stored=True,
        )
