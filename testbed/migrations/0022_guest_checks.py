from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("testbed", "0021_saved_commands"),
    ]

    operations = [
        migrations.AddField(
            model_name="observedguest",
            name="observed_since",
            field=models.DateTimeField(blank=True, null=True),
        ),
        migrations.AddField(
            model_name="task",
            name="found",
            field=models.JSONField(blank=True, null=True),
        ),
    ]
