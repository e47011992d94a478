from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('testbed', '0024_samples'),
    ]

    operations = [
        migrations.AddField(
            model_name='observedguest',
            name='interfaces',
            field=models.JSONField(default=dict),
        ),
    ]
