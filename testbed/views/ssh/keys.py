"""The page of a user's own SSH keys."""

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods, require_POST

from orchestration.project.public_keys import KeyRefused, parse_public_key
from testbed.access.visibility import Request, not_stored
from testbed.accounts.confirmation import require_confirmation
from testbed.models import UserKey
from testbed.ssh.keys import MOST_KEYS, add_key, remove_key

UNPROCESSABLE = 422
MOST_DIGITS = 18


# Some send a private key: reports of errors must not show it, nor may the page.
@sensitive_post_parameters("key")
@not_stored
@login_required
@require_http_methods(["GET", "POST"])
def index(request: Request) -> HttpResponse:
    """Show the user's keys, or add one.

    A key outlives the session. It is read first: a private one must not wait in the
    session for the password.
    """
    if request.method == "GET":
        return _page(request)
    name, text = request.POST.get("name", ""), request.POST.get("key", "")
    try:
        parse_public_key(text)
        require_confirmation(request)
        row = add_key(request.user, name, text)
    except KeyRefused as exc:
        return _page(request, exc, name)
    messages.success(request, f"The key {row.name} was added.")
    return redirect("ssh-keys")


@login_required
@require_POST
def remove(request: Request) -> HttpResponse:
    """Remove one of the user's keys."""
    number = request.POST.get("key", "")
    is_number = number.isascii() and number.isdecimal() and len(number) <= MOST_DIGITS
    rows = UserKey.objects.filter(user=request.user)
    row = rows.filter(pk=int(number)).first() if is_number else None
    if row is None:
        raise Http404("There is no such key.")
    remove_key(row)
    messages.success(request, f"The key {row.name} was removed.")
    return redirect("ssh-keys")


def _page(
    request: Request, refused: KeyRefused | None = None, name: str = ""
) -> HttpResponse:
    context = {
        "keys": UserKey.objects.filter(user=request.user),
        "most": MOST_KEYS,
        "refused": refused,
        "name": name,
    }
    status = UNPROCESSABLE if refused else 200
    return render(request, "account/ssh_keys.html", context, status=status)
