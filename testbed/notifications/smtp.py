"""Django's way to a mail server, with the authorities that the whole product accepts.

EMAIL_BACKEND names it; `delivery.py` and `accounts/mails.py` send by it.
"""

import ssl

from django.core.mail.backends.smtp import EmailBackend as DjangoBackend
from django.utils.functional import cached_property

from orchestration.tls import lenient


class EmailBackend(DjangoBackend):
    """Accepts a lab's own authority on each distribution."""

    @cached_property
    def ssl_context(self) -> ssl.SSLContext:
        """Return what verifies the server."""
        return lenient(super().ssl_context)
