"""Prints a link with which the first lab admin makes the account."""

from django.core.management.base import BaseCommand, CommandError

from testbed.accounts.invitations import NotInvited, first_admin_link


class Command(BaseCommand):
    """`manage.py first_admin`: each call makes a new link, and the one before void."""

    help = "Print a link, for seven days and one use, that makes the first lab admin"

    def handle(self, **options: object) -> None:
        """Print it; with a lab admin there is none."""
        try:
            self.stdout.write(first_admin_link())
        except NotInvited as exc:
            raise CommandError(exc.sentence) from exc
