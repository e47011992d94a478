"""Puts what admins change on these pages into the lab's record."""

from django.contrib.admin.models import LogEntry
from django.db.models.signals import post_save
from django.dispatch import receiver

from testbed.access.record import write
from testbed.models.record.entries import ADMIN_PAGES


@receiver(post_save, sender=LogEntry)
def record_change(
    sender: object, instance: LogEntry, *, created: bool, **more: object
) -> None:
    """Record an act on one row; Django writes one such line for each."""
    if created:
        kind = instance.content_type
        thing = f"{kind.name if kind else 'row'} {instance.object_repr}"
        done = instance.get_change_message() or instance.get_action_flag_display()
        write(instance.user, ADMIN_PAGES, str(done), thing=thing)
