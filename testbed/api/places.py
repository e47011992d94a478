"""The addresses of the API's objects, and testbeds by the address of a request."""

from django.http import Http404
from django.urls import reverse

from testbed.access.addresses import Address, decoded, encoded
from testbed.access.permissions import Act
from testbed.access.visibility import Request, testbed_for
from testbed.models import Run, Testbed


def testbed_of(request: Request, account: str, name: str, act: Act) -> Testbed:
    """Return the testbed for an act. Raises: Http404, NotAllowed, Moved."""
    try:
        address = Address(decoded(account), name)
    except ValueError as exc:  # no text
        raise Http404("There is no such testbed.") from exc
    return testbed_for(request, address, act)


def account_in(part: str) -> str:
    """Return the account that a part of an address names. Raises: Http404."""
    try:
        return decoded(part)
    except ValueError as exc:  # no text
        raise Http404("There is no such user.") from exc


def address_of_testbed(testbed: Testbed) -> str:
    """Return the path of a testbed."""
    return reverse("api:testbed", args=[encoded(testbed.account), testbed.name])


def address_of_run(run: Run) -> str:
    """Return the path of a run."""
    return reverse("api:run", args=[run.pk])
