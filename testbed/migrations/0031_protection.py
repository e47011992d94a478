import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('testbed', '0030_inventory_disks'),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name='Protection',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('guest', models.CharField(blank=True, max_length=64)),
                ('set_at', models.DateTimeField(auto_now_add=True)),
                ('set_by', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL)),
                ('testbed', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='protections', to='testbed.testbed')),
            ],
            options={
                'ordering': ('guest',),
            },
        ),
        migrations.AddConstraint(
            model_name='protection',
            constraint=models.UniqueConstraint(fields=('testbed', 'guest'), name='one_protection_per_guest'),
        ),
    ]
