from django.db import migrations, models
from django.db.models import F


def estimate(apps, schema_editor):
    """Count earlier logs with 190 bytes a row, which is what a row takes besides its text."""
    runs = apps.get_model("testbed", "Run").objects
    runs.filter(log_removed_at=None).update(log_bytes=F("last_seq") * 190)


class Migration(migrations.Migration):

    dependencies = [
        ('testbed', '0017_files_bytes'),
    ]

    operations = [
        migrations.AddField(
            model_name='allowance',
            name='testbed_log_mib',
            field=models.PositiveIntegerField(blank=True, null=True, verbose_name="MiB of runs' logs in one testbed"),
        ),
        migrations.AddField(
            model_name='allowance',
            name='user_log_mib',
            field=models.PositiveIntegerField(blank=True, null=True, verbose_name="MiB of runs' logs in all testbeds"),
        ),
        migrations.AddField(
            model_name='run',
            name='log_bytes',
            field=models.PositiveBigIntegerField(default=0),
        ),
        migrations.AddField(
            model_name='run',
            name='log_is_cut',
            field=models.BooleanField(default=False),
        ),
        migrations.AddField(
            model_name='run',
            name='log_removed_for',
            field=models.CharField(blank=True, max_length=300),
        ),
        migrations.RunPython(estimate, migrations.RunPython.noop),
    ]
