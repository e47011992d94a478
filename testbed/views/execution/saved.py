"""Saved commands: list them with their parameters, save one, delete one."""

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods, require_POST

from orchestration.errors import TestbedError
from testbed.access.addresses import Address
from testbed.access.permissions import Act, may, require
from testbed.access.visibility import Request, testbed_for
from testbed.models import Testbed
from testbed.testbeds.saved_commands import (
    commands_for,
    delete_command,
    find_saved,
    save_for,
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
        "saved": commands_for(request.user, testbed),
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
    delete_command(request.user, testbed, row)
    messages.success(request, f"The saved command {row.name} was deleted.")
    return redirect("testbed-commands", address)


def _save(request: Request, testbed: Testbed) -> HttpResponse:
    is_shared, name = "shared" in request.POST, request.POST.get("name", "")
    require(request.user, Act.SHARE_COMMAND if is_shared else Act.SAVE_COMMAND, testbed)
    form = ExecutionForm(request.POST)
    try:
        wanted = form.execution()
        row = save_for(request.user, testbed, name, wanted, is_shared=is_shared)
    except TestbedError as exc:
        return show_testbed(request, testbed, exc, 422, form=form)
    messages.success(request, f"The command {row.name} was saved.")
    return redirect("testbed-commands", testbed)
