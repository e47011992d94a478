"""The hosts' images as last seen; the page lists these rows.

Written by `images.pruning` and, for requests, by `images.listing`. No page asks a host.
"""

from django.db import models

from testbed.models.hosts import Host


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
