"""One testbed's page."""

from collections.abc import Mapping, Sequence

from django.conf import settings
from django.contrib.auth.decorators import login_required
from django.http import HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.http import require_GET

from orchestration.errors import Finding, SelectionFailed, TestbedError
from orchestration.plan.power import VERBS
from orchestration.state.model import State
from testbed.access.addresses import Address
from testbed.access.permissions import Act, ways_for
from testbed.access.visibility import (
    Request,
    not_stored,
    page_of,
    testbed_for,
    visible_runs,
)
from testbed.expiry.shown import shown_end
from testbed.models import Protection, Testbed
from testbed.models.runs import RunQuerySet
from testbed.pages.budgets import account_shown, budgets_and_quota
from testbed.pages.changes import Pending, pending_changes
from testbed.pages.diagram.layout import layout
from testbed.pages.diagram.parts import Diagram
from testbed.pages.diagram.sketch import Sketch, sketch_of
from testbed.pages.drift import drift_of, marked
from testbed.pages.execution.captures import choices_of
from testbed.pages.execution.command_bar import command_bar
from testbed.pages.needs import coming_on, needs_of_up
from testbed.pages.overview import (
    GuestRow,
    SelectedGuests,
    condition_of,
    guests_of,
    runs_of_page,
    state_of,
    tags_and_trash,
    unseen_of,
    unseen_run,
)
from testbed.runs.places.tools import tools_of
from testbed.testbeds.capacity import Lab
from testbed.testbeds.erasure.protection import protections_of
from testbed.testbeds.executions import execution_again
from testbed.testbeds.findings import errors_among, findings_of
from testbed.testbeds.planning import is_edited
from testbed.testbeds.stored_files import list_files
from testbed.views.execution.form import ExecutionForm, form_of
from testbed.views.parts import part_of

RUNS_SHOWN = 5
MOST_LINES = 20_000
MOST_SELECTION = 200


@not_stored
@login_required
@require_GET
def detail(request: Request, address: Address) -> HttpResponse:
    """Show a testbed: its guests, its files, its runs."""
    testbed = testbed_for(request, address, Act.SEE)
    again, form, problem = request.GET.get("again"), None, None
    if on := request.GET.get("on"):
        form = ExecutionForm(initial={"selection": on[:MOST_SELECTION]})
    try:
        if again:
            form = form_of(execution_again(visible_runs(request, testbed), again))
    except TestbedError as exc:
        problem = exc
    return show_testbed(request, testbed, problem, 422 if problem else 200, form=form)


def show_testbed(
    request: Request,
    testbed: Testbed,
    refusal: TestbedError | None = None,
    status: int = 200,
    *,
    form: ExecutionForm | None = None,
) -> HttpResponse:
    """Show a testbed's page, with the reason why a command of its user was refused.

    `form` is the filled command bar.
    """
    lab = Lab()
    findings = findings_of(testbed, lab)
    lines = _marked_lines(testbed, findings)
    tags, trashed = tags_and_trash(testbed)
    context = {
        "refusal": refusal,
        **_live(request, testbed, lab, findings),
        "form": form or ExecutionForm(),
        "findings": findings,
        "error_count": errors_among(findings),
        "files": list_files(testbed),
        "source": getattr(testbed, "source", None),
        "tags": tags,
        "trashed": trashed,
        "times": settings.EXPIRY,
        "yaml_lines": lines[:MOST_LINES],
        "has_more_lines": len(lines) > MOST_LINES,
    }
    return render(request, "testbeds/detail.html", context, status=status)


@not_stored
@login_required
@require_GET
def budgets(request: Request, address: Address) -> HttpResponse:
    """Show what a testbed and its account use of what they may; htmx gets a part."""
    testbed = testbed_for(request, address, Act.SEE)
    part = "testbeds/_budgets.html" if request.htmx else "testbeds/budgets.html"
    found, quota = budgets_and_quota(testbed, has_quota=request.may.allows(Act.UP))
    context = {
        "testbed": testbed,
        "budgets": found,
        "quota": quota,
        "account": account_shown(testbed, request.user),
    }
    return render(request, part, context)


@not_stored
@login_required
@require_GET
@part_of("testbed")
def live(request: Request, address: Address) -> HttpResponse:
    """Show the part of a testbed's page that changes by itself."""
    context = _live(request, testbed_for(request, address, Act.SEE), Lab())
    return render(request, "testbeds/_live.html", context | {"form": ExecutionForm()})


@not_stored
@login_required
@require_GET
def guests(request: Request, address: Address) -> HttpResponse:
    """Show a testbed's guests, or those of a selection, a page of them at a time."""
    testbed, problem = testbed_for(request, address, Act.SEE), None
    found: Sequence[GuestRow] = ()
    on = request.GET.get("on", "")[:MOST_SELECTION]
    try:
        found = SelectedGuests(testbed, state_of(testbed)[0], on)
    except SelectionFailed as exc:
        problem = exc
    page, query = page_of(request, found), {"on": on} if on else {}
    context = {"testbed": testbed, "page": page, "problem": problem, "query": query}
    context["protected"] = protections_of(testbed)
    template = "testbeds/_guests.html" if request.htmx else "testbeds/guests.html"
    return render(request, template, context, status=422 if problem else 200)


def _live(
    request: Request,
    testbed: Testbed,
    lab: Lab,
    findings: tuple[Finding, ...] | None = None,
) -> dict[str, object]:
    """Return the changing part; `findings` of the YAML where they are known."""
    state, problem = state_of(testbed)
    found = guests_of(testbed, state)
    work = runs_of_page(testbed, visible_runs(request, testbed), RUNS_SHOWN + 1)
    last = work.last
    drift = drift_of(testbed, found, last)
    is_changed = state is not None and is_edited(testbed, state)
    is_new = is_changed or state is None
    sketch = None if state else sketch_of(testbed.project.read_yaml())
    active = next(iter(work.active), None)
    has_tools = any(run.is_tool for run in work.active)
    pending = None if active else pending_changes(testbed, state, lab)
    may_up = active is None and request.may.allows(Act.UP)
    needs = needs_of_up(testbed, state, lab) if may_up else None
    protections = protections_of(testbed)
    can_run = testbed.condition in Testbed.DEPLOYED and request.may.allows(Act.EXECUTE)
    return {
        "testbed": testbed,
        "all_hosts": lab.hosts,
        "state": state,
        "state_problem": problem,
        "is_edited": is_changed,
        "pending": pending,
        "needs": needs,
        "coming": [] if needs else coming_on(testbed, lab),
        "protection": protections.get(""),
        "end": shown_end(testbed, request.may, timezone.now()),
        "guest_protections": [one for one in protections.values() if one.guest],
        "protected": protections,
        "protecting": _protecting(protections, pending),
        "may_protect": request.may.allows(Act.PROTECT),
        "drift": drift,
        "diagram": marked(_diagram(request, state, found), drift) if state else None,
        "sketch": sketch,
        "page": page_of(request, found),
        "up_count": sum(row.is_up for row in found),
        "last_run": last,
        "unseen_run": unseen_run(testbed)
        if last and not last.has_begun
        else unseen_of(testbed, last),
        "active_run": active,
        "only_tools": active is not None and active.is_tool,
        "tools": _tools(request, testbed) if can_run and has_tools else (),
        "capture_choices": choices_of(state) if can_run and state else (),
        "limits": settings.CAPTURE_LIMITS,
        "can_watch": testbed.condition in Testbed.DEPLOYED
        and request.may.allows(Act.WATCH_CONSOLE),
        "bar": command_bar(testbed, request.user, state) if can_run else None,
        "verbs": VERBS.values(),
        "ways": ways_for(request.user, testbed),
        "condition": condition_of(testbed, last),
        "up_is_primary": active is None
        and testbed.condition != Testbed.Condition.UP
        and not (is_new and _is_refused(testbed, sketch, findings, lab)),
        "recent_runs": work.recent[:RUNS_SHOWN],
        "has_more_runs": len(work.recent) > RUNS_SHOWN,
    }


def _tools(request: Request, testbed: Testbed) -> RunQuerySet:
    return tools_of(testbed).visible_to(request.user).listed()


def _protecting(
    protections: Mapping[str, Protection], pending: Pending | None
) -> Protection | None:
    """Return the protection for which Up is refused, if there is one."""
    erased = sorted(pending.erased) if pending else ()
    found = (protections.get(name) for name in ("", *erased))
    return next(filter(None, found), None) if erased else None


def _is_refused(
    testbed: Testbed,
    sketch: Sketch | None,
    findings: tuple[Finding, ...] | None,
    lab: Lab,
) -> bool:
    """Return whether Up is known to refuse a YAML of which there is no state."""
    if sketch is not None and sketch.missing:
        return True
    return errors_among(findings_of(testbed, lab) if findings is None else findings) > 0


def _diagram(request: Request, state: State, rows: list[GuestRow]) -> Diagram:
    statuses = {row.guest.name: row.status for row in rows}
    loads = {row.guest.name: row.load for row in rows if row.load is not None}
    rates = {tap: rate for row in rows for tap, rate in row.rates.items()}
    fold = request.GET.get("fold")
    return layout(state, statuses, loads=loads, rates=rates, fold=fold)


def _marked_lines(
    testbed: Testbed, findings: tuple[Finding, ...]
) -> list[tuple[str, str]]:
    """Return the first lines of the YAML, each with its findings' severity or ''.

    There is one more than are shown where it has more.
    """
    lines = testbed.project.read_yaml().decode(errors="replace").splitlines()
    ranked = sorted(findings, key=lambda f: f.severity, reverse=True)
    found = {finding.line: finding.severity.value for finding in ranked}
    return [
        (line, found.get(n, "")) for n, line in enumerate(lines[: MOST_LINES + 1], 1)
    ]
