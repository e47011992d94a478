from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('testbed', '0012_host_remarks'),
    ]

    operations = [
        migrations.CreateModel(
            name='LoginCount',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('subject', models.CharField(max_length=250, unique=True)),
                ('attempts', models.PositiveIntegerField(default=0)),
                ('since', models.DateTimeField(db_index=True)),
            ],
            options={
                'ordering': ('-since', 'subject'),
            },
        ),
    ]
