"""Rows for the begin of waiting runs, and for the guests with which testbeds count.

Until now both were in the testbeds' folders, from which they are read once.
"""

from pathlib import Path

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models
from django.utils import timezone

from orchestration.errors import StateError
from orchestration.project.folder import Project


def read_folders(apps, schema_editor):
    testbeds = apps.get_model("testbed", "Testbed").objects
    for testbed in testbeds.filter(condition__in=("up", "partial")):
        found = {
            (guest.name, guest.host, guest.cpus, guest.memory_mib)
            for state in _states(testbed)
            for guest in state.guests
            if guest.markers.disk
        }
        testbeds.filter(pk=testbed.pk).update(started=sorted(found))
    runs = apps.get_model("testbed", "Run").objects.filter(status="waiting")
    for run in runs.select_related("testbed").defer("plan"):
        states = _states(run.testbed)
        if not states:
            message = "It did not begin: the state of its testbed cannot be read."
            ended = {"status": "failed", "ended_at": timezone.now(), "message": message}
            runs.filter(pk=run.pk).update(**ended, has_begun=False)
        for state in states[:1]:
            needs = [[g.name, g.host, g.cpus, g.memory_mib] for g in state.guests]
            apps.get_model("testbed", "PlannedStart").objects.create(
                run=run, state=state.model_dump_json(), is_change=False, needs=needs
            )
    runs.update(has_begun=False)


def _states(testbed):
    try:
        return Project(Path(settings.TESTBEDS_DIR) / testbed.slug).read_all()
    except StateError:
        return ()


class Migration(migrations.Migration):
    dependencies = [
        ("testbed", "0038_record"),
    ]

    operations = [
        migrations.CreateModel(
            name="PlannedStart",
            fields=[
                (
                    "run",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.CASCADE,
                        primary_key=True,
                        related_name="planned_start",
                        serialize=False,
                        to="testbed.run",
                    ),
                ),
                ("state", models.TextField(blank=True)),
                ("is_change", models.BooleanField()),
                ("needs", models.JSONField()),
            ],
        ),
        migrations.AddField(
            model_name="run",
            name="has_begun",
            field=models.BooleanField(default=True),
        ),
        migrations.AddField(
            model_name="testbed",
            name="started",
            field=models.JSONField(default=list, editable=False),
        ),
        migrations.RunPython(read_folders, migrations.RunPython.noop),
    ]
