"""Leads a browser that opens a part of a page by itself to the whole page.

Scripts of the pages ask for parts. A part's address is also in histories and logs, and
may be typed by hand: alone, it has no styles and leads nowhere.
"""

from collections.abc import Callable
from functools import wraps

from django.http.response import HttpResponseBase
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.cache import patch_vary_headers

from testbed.access.visibility import Request

View = Callable[..., HttpResponseBase]


def part_of(page: str) -> Callable[[View], View]:
    """Lead navigations to the page of this name, with the same arguments and query.

    Browsers say in `Sec-Fetch-Dest` what an answer is for; programs do not, and get the
    part.
    """

    def decorate(view: View) -> View:
        @wraps(view)
        def wrapped(request: Request, **kwargs: object) -> HttpResponseBase:
            if request.headers.get("Sec-Fetch-Dest") == "document":
                query = request.META["QUERY_STRING"]
                whole = reverse(page, kwargs=kwargs)
                response: HttpResponseBase = redirect(f"{whole}?{query}".strip("?"))
            else:
                response = view(request, **kwargs)
            patch_vary_headers(response, ["Sec-Fetch-Dest"])
            return response

        return wrapped

    return decorate
