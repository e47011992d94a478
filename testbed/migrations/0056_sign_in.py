"""Accounts of a directory, identities bound with their issuers, and no old sessions."""

from hashlib import sha256

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models

OPENID = "openid"


def bind_issuers(apps, schema_editor):
    """Bind each identity to the issuer that its last sign-in told.

    One without an issuer keeps its row, with which nobody signs in any more.
    """
    accounts = apps.get_model("socialaccount", "SocialAccount")
    for row in accounts.objects.filter(provider=OPENID).iterator():
        token = row.extra_data.get("id_token") if row.extra_data else None
        issuer = token.get("iss") if isinstance(token, dict) else None
        if isinstance(issuer, str) and issuer:
            row.uid = sha256(f"{issuer} {row.uid}".encode()).hexdigest()
            row.save(update_fields=["uid"])


def unbind_issuers(apps, schema_editor):
    """Bind identities to the provider's own ids alone, as before."""
    accounts = apps.get_model("socialaccount", "SocialAccount")
    for row in accounts.objects.filter(provider=OPENID).iterator():
        data = row.extra_data or {}
        said = data.get("userinfo") or data.get("id_token") or {}
        others = accounts.objects.filter(provider=OPENID, uid=said.get("sub"))
        if said.get("sub") and not others.exists():
            row.uid = said["sub"]
            row.save(update_fields=["uid"])


def forget_old_sessions(apps, schema_editor):
    """Empty the table that 0051 copied: nothing reads it, or removes what ended."""
    apps.get_model("sessions", "Session").objects.all().delete()


class Migration(migrations.Migration):
    dependencies = [
        ("sessions", "0001_initial"),
        ("socialaccount", "0006_alter_socialaccount_extra_data"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
        ("testbed", "0055_uploads"),
    ]

    operations = [
        migrations.CreateModel(
            name="DirectoryEntry",
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
                ("entry", models.CharField(max_length=200, unique=True)),
                ("left_at", models.DateTimeField(blank=True, null=True)),
                ("checked_at", models.DateTimeField(blank=True, null=True)),
                (
                    "user",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="directory_entry",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
            ],
            options={
                "verbose_name": "entry of the directory",
                "verbose_name_plural": "entries of the directory",
            },
        ),
        migrations.RunPython(bind_issuers, unbind_issuers),
        migrations.RunPython(forget_old_sessions, migrations.RunPython.noop),
    ]
