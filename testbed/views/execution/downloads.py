"""Bounds how many downloads one user has open (`testbed/pages/streaming.py`)."""

from collections.abc import Callable
from functools import wraps
from typing import Concatenate, ParamSpec

from django.http.response import HttpResponseBase
from django.urls import reverse

from testbed.access.visibility import Request
from testbed.pages.streaming import TooManyDownloads, note, require_one_more
from testbed.views.problems import problem_page

P = ParamSpec("P")
View = Callable[Concatenate[Request, P], HttpResponseBase]


def bounded(view: View[P]) -> View[P]:
    """Answer 429 in the place of one download too many of a user."""

    @wraps(view)
    def answer(
        request: Request, /, *args: P.args, **kwargs: P.kwargs
    ) -> HttpResponseBase:
        try:
            require_one_more(request.user)
        except TooManyDownloads as exc:
            return problem_page(request, exc, status=429, back=reverse("testbeds"))
        found = view(request, *args, **kwargs)
        note(request.user, found)
        return found

    return answer
