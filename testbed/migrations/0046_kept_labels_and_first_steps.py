import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('testbed', '0045_shared_names'),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.AddField(
            model_name='trashitem',
            name='description',
            field=models.CharField(blank=True, max_length=200),
        ),
        migrations.AddField(
            model_name='trashitem',
            name='tags',
            field=models.JSONField(default=list),
        ),
        migrations.AlterField(
            model_name='entry',
            name='outcome',
            field=models.CharField(choices=[('done', 'Done'), ('started', 'Started'), ('succeeded', 'Succeeded'), ('failed', 'Failed'), ('cancelled', 'Cancelled'), ('interrupted', 'Interrupted'), ('refused', 'Refused')], max_length=12),
        ),
        migrations.AddIndex(
            model_name='run',
            index=models.Index(fields=['status'], name='runs_by_status'),
        ),
        migrations.CreateModel(
            name='HiddenTour',
            fields=[
                ('user', models.OneToOneField(on_delete=django.db.models.deletion.CASCADE, primary_key=True, related_name='hidden_tour', serialize=False, to=settings.AUTH_USER_MODEL)),
                ('hidden_at', models.DateTimeField(auto_now_add=True)),
            ],
        ),
    ]
