"""Acts on hosts that are there, for lab admins. No view speaks to a host."""

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_http_methods, require_POST

from orchestration.errors import TestbedError
from testbed.access.permissions import require_admin
from testbed.access.visibility import Request, host_for, not_stored
from testbed.hosts.editing import Conflict, remove_host, save_edit, things_on
from testbed.hosts.forms import HostForm
from testbed.models import Host
from testbed.notifications.reservations import drain_and_tell, end_drain_and_tell
from testbed.views.problems import problem_page, status_of


@login_required
@require_POST
def drain(request: Request, name: str) -> HttpResponse:
    """Drain a host, or end its drain."""
    require_admin(request.user)
    host = host_for(request, name)
    try:
        if request.POST.get("do") == "end":
            end_drain_and_tell(host, request.user)
        else:
            drain_and_tell(host, request.user, request.POST.get("reason", ""))
    except TestbedError as exc:
        back = reverse("host", args=[name])
        return problem_page(request, exc, status=status_of(exc), back=back)
    return redirect("host", name)


@not_stored
@login_required
@require_http_methods(["GET", "POST"])
def edit(request: Request, name: str) -> HttpResponse:
    """Edit a host; an edit of another admin since is shown, and nothing is lost."""
    require_admin(request.user)
    host, conflicts = host_for(request, name), []
    typed = request.POST if request.method == "POST" else None
    form = HostForm(typed, instance=host, initial={"seen": host.version})
    if form.is_valid():
        seen, by = form.cleaned_data["seen"], request.user.get_username()
        conflicts = save_edit(host, form.cleaned_data, seen, by)
        if not conflicts:
            messages.success(
                request, f"{name} was saved; its facts are updated within seconds."
            )
            return redirect("host", name)
    return _edit_page(request, form, conflicts)


@login_required
@require_http_methods(["GET", "POST"])
def remove(request: Request, name: str) -> HttpResponse:
    """Ask about removing a host, and remove it; refused while a testbed uses it."""
    require_admin(request.user)
    host = host_for(request, name)
    if request.method == "GET":
        context = {"host": host, "things": things_on(host)}
        return render(request, "hosts/remove.html", context)
    try:
        remove_host(host, request.user.get_username())
    except TestbedError as exc:
        back = reverse("host", args=[name])
        return problem_page(request, exc, status=status_of(exc), back=back)
    messages.success(request, f"{name} was removed.")
    return redirect("hosts")


def _edit_page(
    request: Request, form: HostForm, conflicts: list[Conflict]
) -> HttpResponse:
    """Show the form; after a conflict it may be sent again, for the newer version."""
    version = Host.objects.get(pk=form.instance.pk).version if conflicts else None
    context = {
        "form": form,
        "host": form.instance,
        "conflicts": [(form[one.field].label, one) for one in conflicts],
        "seen": version,
    }
    status = 409 if conflicts else 422 if form.is_bound else 200
    return render(request, "hosts/edit.html", context, status=status)
