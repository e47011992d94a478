from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('testbed', '0029_observed_snapshots'),
    ]

    operations = [
        migrations.AddField(
            model_name='inventory',
            name='disks',
            field=models.JSONField(null=True),
        ),
    ]
