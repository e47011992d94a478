"""Prints a link with which the first lab admin makes the account."""

from django.core.management.base import BaseCommand, CommandError, CommandParser

from testbed.accounts.invitations import NotInvited, first_admin_link


class Command(BaseCommand):
    """`manage.py first_admin`: each call makes a new link, and the one before void."""

    help = "Print a link, for seven days and one use, that makes the first lab admin"

    def add_arguments(self, parser: CommandParser) -> None:
        """Add the option of starts."""
        parser.add_argument(
            "--at-start",
            action="store_true",
            help="with a lab admin, do nothing; else say what the link is for",
        )

    def handle(self, *, at_start: bool, **options: object) -> None:
        """Print it; with a lab admin there is none."""
        try:
            link = first_admin_link()
        except NotInvited as exc:
            if at_start:
                return
            raise CommandError(exc.sentence) from exc
        if at_start:
            self.stdout.write("There is no lab admin yet. This link makes the first:")
        if link.startswith("/"):
            self.stderr.write(
                "Put the address of this lab before it, as TESTBED_TRUSTED_ORIGINS is "
                "not set."
            )
        self.stdout.write(link)
