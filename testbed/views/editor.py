"""The editor of a testbed's text files, with the findings of the YAML at their lines.

Works as a plain form; a script adds line numbers, findings while the user types, and
Save from the keyboard. A save of a file that changed meanwhile is a 409 that keeps both
texts, shows where they differ, and lets the user choose.
"""

from hashlib import sha256
from pathlib import PurePosixPath

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.contrib.auth.models import User
from django.http import Http404, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import (
    require_GET,
    require_http_methods,
    require_POST,
)

from orchestration.errors import Finding, PathOutside, TestbedError
from orchestration.project.folder import YAML_NAME
from orchestration.state.model import State
from testbed.access.addresses import Address
from testbed.access.permissions import Act
from testbed.access.visibility import Request, not_stored, testbed_for
from testbed.models import Run, Testbed
from testbed.pages.overview import state_of
from testbed.testbeds.comparison import compare, take
from testbed.testbeds.editing import (
    EditConflict,
    Opened,
    conflict_of,
    open_file,
    rename_file,
    require_new,
    save_text,
)
from testbed.testbeds.findings import errors_among, findings_of_text
from testbed.testbeds.stored_files import TooManyDigests
from testbed.testbeds.texts import MAX_TEXT_BYTES, normal
from testbed.views.forms import EditForm
from testbed.views.problems import problem_page


@not_stored
@login_required
@require_http_methods(["GET", "POST"])
def edit(request: Request, address: Address, path: str = YAML_NAME) -> HttpResponse:
    """Show a file in the editor, or save the typed text."""
    testbed = testbed_for(request, address, Act.EDIT)
    try:
        opened = _opened(testbed, path, request.user)
    except TooManyDigests as exc:
        back = reverse("testbed", args=[address])
        return problem_page(request, exc, status=429, back=back)
    if request.method == "POST":
        return _save(request, testbed, opened)
    if opened.is_new and path != YAML_NAME and "new" not in request.GET:
        raise Http404(f"There is no file {path}.")
    text = opened.text.text if opened.text else ""
    return _page(request, testbed, opened, text=text)


@login_required
@require_POST
def check(request: Request, address: Address) -> HttpResponse:
    """Show the findings of a YAML as it is typed, and the marks for its lines."""
    testbed = testbed_for(request, address, Act.EDIT)
    findings = findings_of_text(testbed, request.POST.get("text", "").encode())
    context = {**_found(findings), "checked": True}
    return render(request, "testbeds/_editor_findings.html", context)


@login_required
@require_GET
def new(request: Request, address: Address) -> HttpResponse:
    """Begin a file: nothing is written before the first save."""
    testbed = testbed_for(request, address, Act.EDIT)
    try:
        path = require_new(testbed, request.GET.get("path", "").strip())
    except TestbedError as exc:
        messages.error(request, exc.sentence)
        return redirect("testbed", address)
    return redirect(f"{reverse('testbed-edit-file', args=[address, path])}?new")


@login_required
@require_POST
def rename(request: Request, address: Address) -> HttpResponse:
    """Give a file another path."""
    testbed = testbed_for(request, address, Act.EDIT)
    path, new_path = request.POST.get("path", ""), request.POST.get("new", "").strip()
    try:
        renamed = rename_file(testbed, path, new_path, request.user)
    except TestbedError as exc:
        messages.error(request, exc.sentence)
        return redirect("testbed", address)
    messages.success(request, f"{path} is {renamed} now.")
    return redirect("testbed-edit-file", address, renamed)


def _opened(testbed: Testbed, path: str, reader: User) -> Opened:
    try:
        return open_file(testbed, path, reader)
    except PathOutside as exc:
        raise Http404(exc.message) from exc


def _save(request: Request, testbed: Testbed, opened: Opened) -> HttpResponse:
    form = EditForm(request.POST)
    typed = normal(request.POST.get("text", ""))
    if not form.is_valid():
        problem = "A text file cannot hold the character NUL."
        return _page(request, testbed, opened, text=typed, problem=problem, status=422)
    if len(typed.encode()) > MAX_TEXT_BYTES:
        problem = f"This is more than {MAX_TEXT_BYTES // 1024} KiB; nothing was saved."
        return _page(request, testbed, opened, text=typed, problem=problem, status=422)
    seen, chosen = form.cleaned_data["seen"], form.cleaned_data["take"]
    if chosen:
        text = _taken(form, opened, typed)
        conflict = conflict_of(testbed, opened, request.user, seen=seen)
        return _page(request, testbed, opened, text=text, conflict=conflict)
    try:
        save_text(testbed, opened.path, typed, request.user, seen=seen)
    except EditConflict as exc:
        return _page(request, testbed, exc.now, text=typed, conflict=exc, status=409)
    except TestbedError as exc:
        problem = exc.sentence
        return _page(request, testbed, opened, text=typed, problem=problem, status=422)
    messages.success(request, f"{opened.path} was saved.")
    return redirect(_address(testbed, opened.path))


def _taken(form: EditForm, opened: Opened, typed: str) -> str:
    """Return the typed text, with the saved lines in the chosen difference.

    After further typing, or another save of the file, the choice may mean another
    difference: the differences are then only shown anew.
    """
    shown = form.cleaned_data["seen"], form.cleaned_data["compared"]
    if opened.text is None or shown != (opened.digest, _digest(typed)):
        return typed
    return take(compare(opened.text.text, typed), form.cleaned_data["take"])


def _compared(saved: str, typed: str) -> dict[str, object]:
    stretches = compare(saved, typed)
    return {
        "stretches": stretches,
        "differs": any(stretch.number for stretch in stretches),
        "compared": _digest(typed),
    }


def _digest(text: str) -> str:
    return sha256(text.encode()).hexdigest()


def _address(testbed: Testbed, path: str) -> str:
    if path == YAML_NAME:
        return reverse("testbed-edit", args=[testbed])
    return reverse("testbed-edit-file", args=[testbed, path])


def _page(
    request: Request,
    testbed: Testbed,
    opened: Opened,
    *,
    text: str,
    problem: str = "",
    conflict: EditConflict | None = None,
    status: int = 200,
) -> HttpResponse:
    is_yaml = opened.path == YAML_NAME
    findings = findings_of_text(testbed, text.encode()) if is_yaml else ()
    context = {
        **_found(findings),
        **_deployment(testbed, opened),
        "testbed": testbed,
        "file": opened,
        "address": _address(testbed, opened.path),
        "is_yaml": is_yaml,
        "checked": is_yaml,
        "text": text,
        "lines": _marked(text, findings),
        "problem": problem,
        "conflict": conflict,
    }
    if conflict and opened.text:
        context |= _compared(opened.text.text, text)
    return render(request, "testbeds/edit.html", context, status=status)


def _found(findings: tuple[Finding, ...]) -> dict[str, object]:
    errors = errors_among(findings)
    return {
        "findings": findings,
        "error_count": errors,
        "warning_count": len(findings) - errors,
    }


def _marked(text: str, findings: tuple[Finding, ...]) -> list[list[Finding]]:
    """Return the findings of each line; those beyond the end are at the last line."""
    lines: list[list[Finding]] = [[] for _ in text.split("\n")]
    for finding in findings:
        lines[min(max(finding.line, 1), len(lines)) - 1].append(finding)
    return lines


def _deployment(testbed: Testbed, opened: Opened) -> dict[str, object]:
    """Return the active run, and whether the file differs from the generated state."""
    changing = Run.objects.changing().filter(testbed=testbed)
    run = changing.select_related("asked_by").first()
    state = state_of(testbed)[0]
    used = _digests_in(state, opened.path) if state else set()
    return {"active_run": run, "is_edited": bool(used - {opened.digest})}


def _digests_in(state: State, path: str) -> set[str]:
    """Return the digests that the state holds of a file: the YAML, or a script."""
    if path == YAML_NAME:
        return {state.yaml_sha256}
    scripts = (
        script for g in state.started for script in (g.setup_script, g.run_script)
    )
    return {
        s.sha256 for s in scripts if s and PurePosixPath(s.path) == PurePosixPath(path)
    }
