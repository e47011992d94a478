"""Pages for what went wrong: each says what happened and what to do next."""

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.template.loader import render_to_string
from django.urls import reverse

from orchestration.errors import SpecError, TestbedError


def problem_page(
    request: HttpRequest,
    problem: TestbedError,
    *,
    status: int,
    back: str,
    editor: str = "",
) -> HttpResponse:
    """Show an error of ours with its hint, detail and findings.

    Findings of a YAML lead to the `editor`, whose address is given.
    """
    findings = problem.findings if isinstance(problem, SpecError) else ()
    context = {"problem": problem, "findings": findings, "back": back}
    context["editor"] = editor if findings else ""
    return render(request, "problem.html", context, status=status)


def forbidden(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Show 403."""
    return _page(request, 403, "You may not do this", "Ask the testbed's owner.")


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Show 404; also for what belongs to somebody else."""
    hint = "It may have been deleted, or it belongs to somebody else."
    return _page(request, 404, "There is nothing at this address", hint)


def csrf_failed(request: HttpRequest, reason: str = "") -> HttpResponse:
    """Show 403 for a form that was open too long or without cookies."""
    hint = "Go back, load the page again and repeat it. Cookies must be allowed."
    return _page(request, 403, "This form is no longer valid", hint)


def failed(request: HttpRequest) -> HttpResponse:
    """Show 500 without touching the database, which may be what failed."""
    text = render_to_string("500.html", {"home": reverse("testbeds")})
    return HttpResponse(text, status=500)


def _page(request: HttpRequest, status: int, title: str, hint: str) -> HttpResponse:
    problem = TestbedError(f"{title}.", hint=hint)
    return problem_page(request, problem, status=status, back=reverse("testbeds"))
