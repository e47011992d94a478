import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('testbed', '0028_sharing'),
    ]

    operations = [
        migrations.CreateModel(
            name='ObservedSnapshots',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('name', models.CharField(max_length=64)),
                ('host', models.CharField(max_length=40)),
                ('signature', models.TextField()),
                ('snapshots', models.JSONField(default=list)),
                ('disk_bytes', models.BigIntegerField(default=0)),
                ('read_at', models.DateTimeField()),
                ('observed_at', models.DateTimeField()),
                ('testbed', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='observed_snapshots', to='testbed.testbed')),
            ],
            options={
                'ordering': ('name',),
            },
        ),
        migrations.AddConstraint(
            model_name='observedsnapshots',
            constraint=models.UniqueConstraint(fields=('testbed', 'name'), name='one_row_of_snapshots_per_guest'),
        ),
    ]
