"""Of the images that all users have, each name is one's; a deleted image is counted."""

from django.db import migrations, models
from django.db.models import Q


def take_doubles_back(apps, schema_editor):
    """Of two shared images with one name, leave the one that YAMLs got."""
    images, kept = apps.get_model("testbed", "SavedImage"), set()
    for image in images.objects.filter(is_shared=True).order_by("-pk"):
        if image.name in kept:
            images.objects.filter(pk=image.pk).update(is_shared=False)
        kept.add(image.name)


class Migration(migrations.Migration):
    dependencies = [("testbed", "0044_host_checks")]

    operations = [
        migrations.RunPython(take_doubles_back, migrations.RunPython.noop),
        migrations.RemoveConstraint("savedimage", "one_saved_image_per_name"),
        migrations.AddField(
            "savedimage", "deleted_at", models.DateTimeField(blank=True, null=True)
        ),
        migrations.AddConstraint(
            "savedimage",
            models.UniqueConstraint(
                fields=["owner", "name"],
                condition=Q(deleted_at=None),
                name="one_saved_image_per_name",
            ),
        ),
        migrations.AddConstraint(
            "savedimage",
            models.UniqueConstraint(
                fields=["name"],
                condition=Q(is_shared=True, deleted_at=None),
                name="one_shared_image_per_name",
            ),
        ),
    ]
