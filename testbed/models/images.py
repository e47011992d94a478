"""What was last seen of the hosts' images; the page lists these rows.

Written by `tasks.images` only. No page asks a host.
"""

from django.db import models

from testbed.models.hosts import Host


class ImageStore(models.Model):
    """The images of one host.

    `images` are `orchestration.inventory.images.StoredImage`s as JSON, each with who uses
    it. A host that could not be asked (`problem`) at `looked_at` keeps what was seen
    of it at `seen_at`. `asked_at` is when somebody wanted it to be looked at again.
    """

    host = models.OneToOneField(
        Host, on_delete=models.CASCADE, related_name="image_store"
    )
    images = models.JSONField(default=list)
    leftovers = models.JSONField(default=list)
    total_bytes = models.PositiveBigIntegerField(default=0)
    free_bytes = models.PositiveBigIntegerField(default=0)
    problem = models.TextField(blank=True)
    asked_at = models.DateTimeField(null=True, blank=True)
    looked_at = models.DateTimeField(null=True, blank=True)
    seen_at = models.DateTimeField(null=True, blank=True)

    def __str__(self) -> str:
        return f"{self.host}: {len(self.images)} images"
