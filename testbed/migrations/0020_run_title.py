from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("testbed", "0019_executions"),
    ]

    operations = [
        migrations.AddField(
            model_name="run",
            name="title",
            field=models.CharField(blank=True, max_length=120),
        ),
    ]
