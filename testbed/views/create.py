"""A new testbed: its form, and the checks that run while it is filled in."""

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpResponse, JsonResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import (
    require_GET,
    require_http_methods,
    require_POST,
)

from orchestration.errors import TestbedError
from orchestration.project.folder import YAML_NAME
from testbed.access.visibility import Request
from testbed.models import Testbed
from testbed.models.listing.names import free_name
from testbed.runs.event_rows import clean
from testbed.testbeds.files import create_testbed, list_examples, read_example
from testbed.testbeds.findings import findings_of_upload
from testbed.views.forms import NameForm, NewTestbedForm
from testbed.views.parts import part_of
from testbed.views.problems import wants_json


@login_required
@require_http_methods(["GET", "POST"])
def new(request: Request) -> HttpResponse:
    """Show the form of a new testbed, or create it."""
    if request.method == "POST" and request.POST.get("example"):
        return _from_example(request)
    posted = (request.POST or None, request.FILES or None)
    form = NewTestbedForm(*posted, user=request.user)
    if request.method == "POST" and form.is_valid():
        testbed = _create(request, form, form.files_to_write)
        if testbed is not None:
            return redirect("testbed", testbed)
    return _page(request, form)


@login_required
@require_GET
@part_of("testbed-new")
def check_name(request: Request) -> HttpResponse:
    """Show whether a name can be used, while it is typed."""
    form = NameForm(request.GET, user=request.user)
    return render(request, "testbeds/_name_check.html", {"form": form})


@login_required
@require_POST
def check_yaml(request: Request) -> HttpResponse:
    """Show the findings of a YAML, while it is typed."""
    text = request.POST.get("yaml") or request.POST.get("text") or ""
    files = {YAML_NAME: text.encode()}
    findings = findings_of_upload(files, request.user) if text else ()
    context = {"findings": findings, "checked": bool(text)}
    return render(request, "testbeds/_findings.html", context)


def _from_example(request: Request) -> HttpResponse:
    """Create a testbed from an example; without a name it gets the example's."""
    example = clean(request.POST["example"])
    data = request.POST.copy()
    data["slug"] = request.POST.get("slug") or free_name(request.user, example)
    form = NewTestbedForm(data, user=request.user, is_example=True)
    if form.is_valid():
        try:
            testbed = _create(request, form, read_example(example))
        except TestbedError as exc:
            form.add_error("yaml", exc.message)
        else:
            if testbed is not None:
                return redirect("testbed", testbed)
    return _page(request, form)


def _create(
    request: Request, form: NewTestbedForm, files: dict[str, bytes]
) -> Testbed | None:
    try:
        testbed = create_testbed(request.user, form.cleaned_data["slug"], files)
    except TestbedError as exc:
        form.add_error("slug", exc.sentence)
        return None
    messages.success(request, f"{testbed.name} was created.")
    return testbed


def _page(request: Request, form: NewTestbedForm) -> HttpResponse:
    status = 422 if form.is_bound else 200
    if form.is_bound and wants_json(request):
        said = (str(text) for texts in form.errors.values() for text in texts)
        return JsonResponse({"error": " ".join(said)}, status=status)
    context = {"form": form, "examples": list_examples()}
    return render(request, "testbeds/new.html", context, status=status)
