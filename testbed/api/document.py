"""The page that lists the operations of the API, from its OpenAPI document."""

from collections import defaultdict
from functools import cache

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from testbed.api.v1 import api

Groups = tuple[tuple[str, list[dict[str, str]]], ...]


@require_safe
def operations(request: HttpRequest) -> HttpResponse:
    """Show every operation, without signing in."""
    return render(request, "api/operations.html", {"groups": _groups()})


@cache
def _groups() -> Groups:
    """Return the operations by their tags; the document is made once."""
    found: defaultdict[str, list[dict[str, str]]] = defaultdict(list)
    for path, methods in api.get_openapi_schema()["paths"].items():
        for method, operation in methods.items():
            found[operation["tags"][0]].append(
                {
                    "id": operation["operationId"],
                    "method": method.upper(),
                    "path": path.removeprefix("/api/v1"),
                    "about": operation["description"].partition("\n")[0],
                }
            )
    return tuple(found.items())
