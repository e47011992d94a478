"""Clients of the API with tokens of the personas."""

import json
from collections.abc import Callable

import pytest
from asgiref.sync import async_to_sync
from django.contrib.auth.models import User
from django.http import HttpResponse
from django.test import Client

from testbed.access.scopes import Scope
from testbed.access.tokens import make_token

ALL = tuple(scope.value for scope in Scope)
Ask = Callable[..., HttpResponse]


def asker(user: User | None, *scopes: str) -> Ask:
    """Return what sends a request with a new token: `ask("GET", "/me")`."""
    headers = {}
    if user is not None:
        headers["Authorization"] = f"Bearer {make_token(user, 'test', scopes, 7)[1]}"

    def ask(
        method: str,
        path: str,
        body: object = None,
        *,
        kind: str = "application/json",
        **more: str,
    ) -> HttpResponse:
        data = body if isinstance(body, bytes) or body is None else json.dumps(body)
        answer = Client(headers=headers).generic(
            method,
            path if path.startswith("/api/") else f"/api/v1{path}",
            data or b"",
            content_type=kind if body is not None else "",
            headers={name.replace("_", "-"): value for name, value in more.items()},
        )
        return received(answer)

    return ask


def received(answer: HttpResponse) -> HttpResponse:
    """Return an answer that was received whole."""
    if not answer.streaming:
        return answer

    async def collected() -> bytes:
        return b"".join([part async for part in answer.streaming_content])

    whole = HttpResponse(async_to_sync(collected)(), status=answer.status_code)
    for name, value in answer.headers.items():
        whole.headers[name] = value
    return whole


@pytest.fixture
def ask(owner: User) -> Ask:
    """The owner with a token of all scopes."""
    return asker(owner, *ALL)
