import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('auth', '0012_alter_user_first_name_max_length'),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
        ('testbed', '0027_jump_reach'),
    ]

    operations = [
        migrations.AddField(
            model_name='run',
            name='asked_as',
            field=models.CharField(blank=True, max_length=20),
        ),
        migrations.AddField(
            model_name='run',
            name='asked_of',
            field=models.CharField(blank=True, max_length=150),
        ),
        migrations.CreateModel(
            name='GroupManager',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('group', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='managers', to='auth.group')),
                ('user', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='managed_groups', to=settings.AUTH_USER_MODEL)),
            ],
            options={
                'constraints': [models.UniqueConstraint(fields=('group', 'user'), name='manager_of_a_group_once')],
            },
        ),
        migrations.CreateModel(
            name='Share',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('role', models.CharField(choices=[('viewer', 'Viewer'), ('operator', 'Operator'), ('editor', 'Editor')], max_length=12)),
                ('given_at', models.DateTimeField()),
                ('given_by', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL)),
                ('group', models.ForeignKey(null=True, on_delete=django.db.models.deletion.CASCADE, related_name='shares', to='auth.group')),
                ('testbed', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='shares', to='testbed.testbed')),
                ('user', models.ForeignKey(null=True, on_delete=django.db.models.deletion.CASCADE, related_name='shares', to=settings.AUTH_USER_MODEL)),
            ],
            options={
                'constraints': [models.CheckConstraint(condition=models.Q(models.Q(('group__isnull', False), ('user', None)), models.Q(('group', None), ('user__isnull', False)), _connector='OR'), name='share_is_with_a_user_or_a_group'), models.UniqueConstraint(fields=('testbed', 'user'), name='one_share_per_user'), models.UniqueConstraint(fields=('testbed', 'group'), name='one_share_per_group')],
            },
        ),
    ]
