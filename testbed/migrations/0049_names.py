"""Testbeds get a name beside their key; keys of new ones are counted."""

import re

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models

MOST = 40
# As `access/addresses.py` has them at this migration: parts of addresses.
PARTS = frozenset(
    """artefacts budgets captures charge check commands copy delete disks edit exec expiry
    favourite files guests images labels live name new owner power protection record
    reservations runs sharing snapshots up""".split()
)


def name_testbeds(apps, schema_editor):
    """Name each testbed as its key, and let the count begin above all."""
    testbeds, last = apps.get_model("testbed", "Testbed").objects, 0
    keys = set(testbeds.values_list("slug", flat=True))
    for pk, key in testbeds.values_list("pk", "slug"):
        name = key
        while name in PARTS or (name != key and name in keys):
            name = f"{name[: MOST - 8]}-testbed"
        testbeds.filter(pk=pk).update(name=name)
        number = re.fullmatch(r"tb(\d{1,15})", key)
        last = max(last, pk, int(number[1]) if number else 0)
    apps.get_model("testbed", "KeyCount").objects.create(pk=1, last=last)


class Migration(migrations.Migration):
    dependencies = [
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
        ("testbed", "0048_notifications"),
    ]

    operations = [
        migrations.CreateModel(
            name="KeyCount",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True,
                        primary_key=True,
                        serialize=False,
                        verbose_name="ID",
                    ),
                ),
                ("last", models.PositiveBigIntegerField(default=0)),
            ],
        ),
        migrations.CreateModel(
            name="FormerName",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True,
                        primary_key=True,
                        serialize=False,
                        verbose_name="ID",
                    ),
                ),
                ("name", models.SlugField(max_length=MOST)),
                (
                    "owner",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "testbed",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="former_names",
                        to="testbed.testbed",
                    ),
                ),
            ],
            options={"ordering": ("-pk",)},
        ),
        migrations.AlterModelOptions(name="testbed", options={"ordering": ("name", "pk")}),
        migrations.AddField(
            "testbed",
            "name",
            models.SlugField(default="", max_length=MOST),
            preserve_default=False,
        ),
        migrations.RunPython(name_testbeds, migrations.RunPython.noop),
        migrations.AddConstraint(
            "testbed",
            models.UniqueConstraint(
                fields=["owner", "name"], name="testbed_name_of_an_owner_once"
            ),
        ),
    ]
