import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('testbed', '0022_guest_checks'),
    ]

    operations = [
        migrations.AddField(
            model_name='host',
            name='cpu_busy_s',
            field=models.FloatField(default=0.0, editable=False),
        ),
        migrations.AddField(
            model_name='host',
            name='cpu_percent',
            field=models.FloatField(editable=False, null=True),
        ),
        migrations.AddField(
            model_name='host',
            name='cpu_total_s',
            field=models.FloatField(default=0.0, editable=False),
        ),
        migrations.AddField(
            model_name='host',
            name='disk_bytes',
            field=models.PositiveBigIntegerField(default=0, editable=False),
        ),
        migrations.AddField(
            model_name='host',
            name='disk_free_bytes',
            field=models.PositiveBigIntegerField(default=0, editable=False),
        ),
        migrations.AddField(
            model_name='observedguest',
            name='disk_read_bytes',
            field=models.BigIntegerField(null=True),
        ),
        migrations.AddField(
            model_name='observedguest',
            name='disk_written_bytes',
            field=models.BigIntegerField(null=True),
        ),
        migrations.AddField(
            model_name='observedguest',
            name='received_bytes',
            field=models.BigIntegerField(null=True),
        ),
        migrations.AddField(
            model_name='observedguest',
            name='sent_bytes',
            field=models.BigIntegerField(null=True),
        ),
        migrations.CreateModel(
            name='Sample',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('taken_at', models.DateTimeField(db_index=True)),
                ('names', models.TextField(blank=True)),
                ('figures', models.BinaryField()),
                ('host', models.ForeignKey(db_index=False, null=True, on_delete=django.db.models.deletion.CASCADE, to='testbed.host')),
                ('testbed', models.ForeignKey(db_index=False, null=True, on_delete=django.db.models.deletion.CASCADE, to='testbed.testbed')),
            ],
            options={
                'ordering': ('taken_at',),
                'indexes': [models.Index(fields=['testbed', 'taken_at'], name='samples_of_testbed'), models.Index(fields=['host', 'taken_at'], name='samples_of_host')],
                'constraints': [models.CheckConstraint(condition=models.Q(models.Q(('host__isnull', False), ('testbed', None)), models.Q(('host', None), ('testbed__isnull', False)), _connector='OR'), name='sample_has_one_owner')],
            },
        ),
        migrations.CreateModel(
            name='SampleHour',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('name', models.CharField(blank=True, max_length=64)),
                ('began_at', models.DateTimeField(db_index=True)),
                ('figures', models.BinaryField()),
                ('host', models.ForeignKey(db_index=False, null=True, on_delete=django.db.models.deletion.CASCADE, to='testbed.host')),
                ('testbed', models.ForeignKey(db_index=False, null=True, on_delete=django.db.models.deletion.CASCADE, to='testbed.testbed')),
            ],
            options={
                'ordering': ('began_at',),
                'constraints': [models.UniqueConstraint(condition=models.Q(('host', None)), fields=('testbed', 'name', 'began_at'), name='one_hour_of_a_guest'), models.UniqueConstraint(condition=models.Q(('testbed', None)), fields=('host', 'began_at'), name='one_hour_of_a_host'), models.CheckConstraint(condition=models.Q(models.Q(('host__isnull', False), ('testbed', None)), models.Q(('host', None), ('testbed__isnull', False)), _connector='OR'), name='sample_hour_has_one_owner')],
            },
        ),
    ]
