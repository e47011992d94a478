import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("testbed", "0020_run_title"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name="SavedCommand",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("name", models.CharField(max_length=60)),
                ("execution", models.JSONField()),
                ("saved_at", models.DateTimeField(auto_now=True)),
                ("saved_by", models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name="+", to=settings.AUTH_USER_MODEL)),
                ("testbed", models.ForeignKey(null=True, on_delete=django.db.models.deletion.CASCADE, related_name="saved_commands", to="testbed.testbed")),
            ],
            options={"ordering": ("name", "pk")},
        ),
        migrations.AddConstraint(
            model_name="savedcommand",
            constraint=models.UniqueConstraint(fields=("testbed", "name"), name="one_saved_command_per_name"),
        ),
        migrations.AddConstraint(
            model_name="savedcommand",
            constraint=models.UniqueConstraint(condition=models.Q(("testbed", None)), fields=("name",), name="one_shared_command_per_name"),
        ),
    ]
