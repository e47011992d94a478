"""Saved commands: list them with their parameters, save one, delete one."""

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods, require_POST

from orchestration.errors import TestbedError
from testbed.access.addresses import Address
from testbed.access.permissions import Act, act_of, act_on, may, record_act, require
from testbed.access.visibility import Request, testbed_for
from testbed.models import SavedCommand, Testbed
from testbed.testbeds.saved_commands import (
    find_named,
    find_saved,
    is_for_hosts,
    save_command,
    saved_commands,
)
from testbed.views.execution.form import ExecutionForm
from testbed.views.testbeds import show_testbed


@login_required
@require_http_methods(["GET", "POST"])
def index(request: Request, address: Address) -> HttpResponse:
    """Show the saved commands of a testbed, or save the one of the command bar."""
    if request.method == "POST":
        return _save(request, testbed_for(request, address, Act.SAVE_COMMAND))
    testbed = testbed_for(request, address, Act.EXECUTE)
    context = {
        "testbed": testbed,
        "saved": [
            one
            for one in saved_commands(testbed)
            if may(request.user, act_on(hosts=is_for_hosts(one.row)), testbed)
        ],
        "can_share": may(request.user, Act.SHARE_COMMAND, testbed),
    }
    return render(request, "executions/saved.html", context)


@login_required
@require_POST
def delete(request: Request, address: Address) -> HttpResponse:
    """Delete a saved command; a shared one only as a lab admin."""
    testbed = testbed_for(request, address, Act.SAVE_COMMAND)
    number = request.POST.get("command", "")
    is_number = number.isascii() and number.isdecimal() and len(number) < 19
    row = find_saved(testbed, int(number)) if is_number else None
    if row is None:
        raise Http404("There is no such saved command.")
    act = Act.SAVE_COMMAND if row.testbed_id else Act.SHARE_COMMAND
    require(request.user, act, testbed)
    _require_running(request, testbed, row)
    row.delete()
    record_act(request.user, act, testbed, f"deleted {row.name}")
    messages.success(request, f"The saved command {row.name} was deleted.")
    return redirect("testbed-commands", address)


def _save(request: Request, testbed: Testbed) -> HttpResponse:
    is_shared = "shared" in request.POST
    act = Act.SHARE_COMMAND if is_shared else Act.SAVE_COMMAND
    require(request.user, act, testbed)
    form = ExecutionForm(request.POST)
    try:
        wanted = form.execution()
        require(request.user, act_of(wanted), testbed)
        name, place = request.POST.get("name", ""), None if is_shared else testbed
        if (old := find_named(place, name)) is not None:
            _require_running(request, testbed, old)
        row = save_command(request.user, name, wanted, testbed=place)
    except TestbedError as exc:
        return show_testbed(request, testbed, exc, 422, form=form)
    record_act(request.user, act, testbed, f"saved {row.name}")
    messages.success(request, f"The command {row.name} was saved.")
    return redirect("testbed-commands", testbed)


def _require_running(request: Request, testbed: Testbed, row: SavedCommand) -> None:
    """Let those change a saved command who may run it. Raises: PermissionDenied."""
    require(request.user, act_on(hosts=is_for_hosts(row)), testbed)
