"""Sessions get a table of their own, with their users; those that are open stay open."""

import django.db.models.deletion
from django.conf import settings
from django.contrib.sessions.backends.db import SessionStore
from django.db import migrations, models

USER = "_auth_user_id"


def copy(apps, schema_editor):
    """Copy the rows; all engines have one salt, as all are called SessionStore."""
    users = set(apps.get_model("auth", "User").objects.values_list("pk", flat=True))
    made = apps.get_model("testbed", "WebSession")
    for row in apps.get_model("sessions", "Session").objects.iterator():
        user = SessionStore().decode(row.session_data).get(USER)
        pk = int(user) if user and user.isdecimal() else None
        made.objects.create(
            session_key=row.session_key,
            session_data=row.session_data,
            expire_date=row.expire_date,
            user_id=pk if pk in users else None,
        )


class Migration(migrations.Migration):
    dependencies = [
        ("sessions", "0001_initial"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
        ("testbed", "0050_told_of_reservations"),
    ]

    operations = [
        migrations.CreateModel(
            name="WebSession",
            fields=[
                (
                    "session_key",
                    models.CharField(
                        max_length=40,
                        primary_key=True,
                        serialize=False,
                        verbose_name="session key",
                    ),
                ),
                ("session_data", models.TextField(verbose_name="session data")),
                (
                    "expire_date",
                    models.DateTimeField(db_index=True, verbose_name="expire date"),
                ),
                (
                    "user",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="web_sessions",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
            ],
            options={
                "verbose_name": "session",
                "verbose_name_plural": "sessions",
                "abstract": False,
            },
        ),
        migrations.RunPython(copy, migrations.RunPython.noop),
    ]
