"""The address of the list from which a form was sent, with its search and its page."""

from django.urls import reverse
from django.utils.http import url_has_allowed_host_and_scheme

from testbed.access.visibility import Request


def list_of(request: Request) -> str:
    """Return the address of `back`, or of the whole list where that leads elsewhere."""
    back = request.POST.get("back", "")
    is_path = back.startswith("/")  # not the name of a view
    is_ours = is_path and url_has_allowed_host_and_scheme(back, allowed_hosts=None)
    return back if is_ours else reverse("testbeds")
