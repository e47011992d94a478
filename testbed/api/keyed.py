"""Requests with an `Idempotency-Key`: the same one again gets the answer of the first.

A row is there before the work begins, so that of two requests at once one is refused. A
request that was refused leaves no row: it may be sent again with its key.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from hashlib import sha256
from http import HTTPStatus
from typing import Any

from django.core.serializers.json import DjangoJSONEncoder
from django.db import IntegrityError, transaction
from django.http import HttpResponse, JsonResponse
from django.utils import timezone

from testbed.access.visibility import Request
from testbed.api.problems import Refused
from testbed.models import KeyedRequest

HEADER = "Idempotency-Key"
MOST_KEY = 100
# The part of the OpenAPI document for an operation that calls `made_once`.
KEYED: dict[str, Any] = {
    "parameters": [
        {
            "in": "header",
            "name": HEADER,
            "schema": {"type": "string", "minLength": 1, "maxLength": MOST_KEY},
            "description": "the same request with it gets the same answer for a day",
        }
    ]
}
MOST_KEYS = 2000
KEPT = timedelta(hours=24)


@dataclass(frozen=True, slots=True)
class Made:
    """The answer of a request that made something, and the address of that."""

    body: dict[str, object]
    location: str
    status: int = HTTPStatus.CREATED


def made_once(
    request: Request, make: Callable[[], Made], *, content: bytes | None = None
) -> HttpResponse:
    """Make a thing, or repeat the answer to the same request. Raises: Refused.

    `content` is a body that was read already, as a file is.
    """
    key = request.headers.get(HEADER)
    if key is None:
        return _answer(make())
    row = _row_of(request, key, request.body if content is None else content)
    if row.status:
        answer = _answer(Made(row.answer, row.location, row.status))
        answer.headers["Idempotency-Replayed"] = "true"
        return answer
    try:
        made = make()
    except BaseException:
        row.delete()
        raise
    row.status, row.location = made.status, made.location
    row.answer = json.loads(json.dumps(made.body, cls=DjangoJSONEncoder))
    row.save()
    return _answer(made)


def forget_old_requests() -> int:
    """Remove the answers that are no longer repeated; return how many."""
    old = KeyedRequest.objects.filter(made_at__lt=timezone.now() - KEPT)
    return old.delete()[0]


def _row_of(request: Request, key: str, content: bytes) -> KeyedRequest:
    """Return the row of a key: a new one, or that of the same request."""
    if not 1 <= len(key) <= MOST_KEY or not (key.isascii() and key.isprintable()):
        raise Refused(
            HTTPStatus.UNPROCESSABLE_ENTITY,
            f"{HEADER} is not 1 to {MOST_KEY} visible characters of ASCII.",
            hint="Use a UUID.",
        )
    digest = _digest(request, content)
    own = KeyedRequest.objects.filter(user=request.user)
    own.filter(key=key, made_at__lt=timezone.now() - KEPT).delete()
    try:
        with transaction.atomic():
            row = KeyedRequest.objects.create(user=request.user, key=key, digest=digest)
    except IntegrityError:
        return _same(own.get(key=key), digest)
    if own.count() > MOST_KEYS:
        row.delete()
        raise Refused(
            HTTPStatus.TOO_MANY_REQUESTS,
            f"{MOST_KEYS} keys were used in {KEPT // timedelta(hours=1)} hours.",
            hint="Wait, or send requests without a key.",
        )
    return row


def _same(row: KeyedRequest, digest: str) -> KeyedRequest:
    if row.digest != digest:
        raise Refused(
            HTTPStatus.UNPROCESSABLE_ENTITY,
            f"This {HEADER} was used for another request.",
            hint="Use a new key for another request.",
        )
    if not row.status:
        raise Refused(
            HTTPStatus.CONFLICT,
            f"The first request with this {HEADER} is not answered yet.",
            hint="Wait, and send it again.",
        )
    return row


def _digest(request: Request, content: bytes) -> str:
    query = request.META.get("QUERY_STRING", "")
    address = f"{request.path}?{query}" if query else request.path
    found = sha256(f"{request.method} {address}\n".encode(errors="replace"))
    found.update(content)
    return found.hexdigest()


def _answer(made: Made) -> HttpResponse:
    answer = JsonResponse(made.body, status=made.status)
    answer.headers["Location"] = made.location
    return answer
