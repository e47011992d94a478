"""Leads from addresses without an account, and from former ones, to the present ones.

Browsers are redirected with 308, which keeps the method. A program gets its answer at
once: it may not follow redirects, and wrote the name or the key of a testbed.
"""

from collections.abc import Callable
from http import HTTPStatus
from urllib.parse import quote

from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import resolve, reverse
from django.utils.cache import add_never_cache_headers

from testbed.access.addresses import SeveralTestbeds, find_by_word
from testbed.access.visibility import Moved, Request, not_stored
from testbed.models import Testbed
from testbed.views.problems import problem_page

Respond = Callable[[HttpRequest], HttpResponse]
HTML = "text/html"
# Characters of a path that need no escape, as browsers write them.
_PLAIN = "/~:@!$&'()*+,;="
# A testbed may get another name between a question and its answer, but not for ever.
MOST_MOVES = 5


class PermanentRedirect(HttpResponseRedirect):
    """Tells browsers to send the same request to another address."""

    status_code = HTTPStatus.PERMANENT_REDIRECT


@not_stored
@login_required
def lead(request: Request, word: str, rest: str = "") -> HttpResponse:
    """Lead from a testbed's name or key to its address, and to what is below it."""
    visible = Testbed.objects.all().visible_to(request.user)
    try:
        found = find_by_word(visible, word, request.user)
    except SeveralTestbeds as exc:
        back = reverse("testbeds")
        return problem_page(request, exc, status=HTTPStatus.CONFLICT, back=back)
    if found is None:
        raise Http404("There is no such testbed.")
    return _led(request, found, rest)


class FormerAddresses:
    """Leads from an address that a testbed had to its present one (middleware)."""

    def __init__(self, respond: Respond) -> None:
        self._respond = respond

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Pass the request on."""
        return self._respond(request)

    def process_exception(
        self, request: HttpRequest, exception: Exception
    ) -> HttpResponse | None:
        """Answer for a testbed that has another address by now."""
        if not isinstance(exception, Moved):
            return None
        # /testbeds/<account>/<name>/<rest>
        rest = request.path_info.split("/", 4)[4]
        return _led(request, exception.testbed, rest)


def _led(request: HttpRequest, testbed: Testbed, rest: str) -> HttpResponse:
    """Answer at the present address; while it moves again, at the next one."""
    for _ in range(MOST_MOVES):
        try:
            return _answered(request, testbed, rest)
        except Moved as exc:
            testbed = exc.testbed
    raise Http404("The testbed has no address yet.")


def _answered(request: HttpRequest, testbed: Testbed, rest: str) -> HttpResponse:
    """Redirect, or answer a program. Raises: Moved (it was renamed just now)."""
    path = reverse("testbed", args=[testbed]) + rest
    if HTML in request.headers.get("Accept", ""):
        query = request.META.get("QUERY_STRING", "")
        target = quote(path, safe=_PLAIN) + (f"?{query}" if query else "")
        moved = PermanentRedirect(target)
        # A browser keeps a 308 for ever; another testbed may get the address.
        add_never_cache_headers(moved)
        return moved
    found = resolve(path)
    request.resolver_match = found
    answer: HttpResponse = found.func(request, *found.args, **found.kwargs)
    return answer
