from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('testbed', '0003_cleanups'),
    ]

    operations = [
        migrations.AddField(
            model_name='batch',
            name='admitted_at',
            field=models.DateTimeField(blank=True, null=True),
        ),
    ]
