"""Bounds how many downloads one user has open: each keeps a file and a place to send from.

Counted in the one process that serves all users. Django closes an answer when it was
sent or its client is gone.
"""

from collections import defaultdict
from collections.abc import Callable
from functools import wraps
from typing import Concatenate, ParamSpec
from weakref import WeakSet

from django.http import StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.urls import reverse

from testbed.access.limits import LimitReached
from testbed.access.visibility import Request
from testbed.views.problems import problem_page

MOST_DOWNLOADS = 16
P = ParamSpec("P")
View = Callable[Concatenate[Request, P], HttpResponseBase]

_sent: defaultdict[int, "WeakSet[StreamingHttpResponse]"] = defaultdict(WeakSet)


def bounded(view: View[P]) -> View[P]:
    """Answer 429 in the place of one download too many of a user."""

    @wraps(view)
    def answer(
        request: Request, /, *args: P.args, **kwargs: P.kwargs
    ) -> HttpResponseBase:
        others = _sent[request.user.pk]
        count = sum(not other.closed for other in others)
        if count >= MOST_DOWNLOADS:
            problem = LimitReached(
                f"You have {count} open downloads; no more are sent at once.",
                hint="Wait until one is over, or stop one.",
            )
            return problem_page(request, problem, status=429, back=reverse("testbeds"))
        found = view(request, *args, **kwargs)
        if isinstance(found, StreamingHttpResponse):
            others.add(found)
        return found

    return answer
