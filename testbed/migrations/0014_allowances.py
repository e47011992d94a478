import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
        ('testbed', '0013_login_counts'),
    ]

    operations = [
        migrations.CreateModel(
            name='Allowance',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('testbeds', models.PositiveIntegerField(blank=True, null=True)),
                ('sockets', models.PositiveIntegerField(blank=True, help_text='Each open page of a run is one, as is each client that follows one.', null=True, verbose_name='open run pages')),
                ('testbed_mib', models.PositiveIntegerField(blank=True, null=True, verbose_name='MiB of files in one testbed')),
                ('user_mib', models.PositiveIntegerField(blank=True, null=True, verbose_name='MiB of files in all testbeds')),
                ('user', models.OneToOneField(on_delete=django.db.models.deletion.CASCADE, related_name='allowance', to=settings.AUTH_USER_MODEL)),
            ],
            options={
                'ordering': ('user__username',),
            },
        ),
    ]
