"""The log of a user's mails and calls of the webhook; a call can be sent again."""

import json

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_GET, require_POST

from orchestration.errors import TestbedError
from testbed.access.visibility import Request, not_stored, page_of
from testbed.models import Delivery
from testbed.notifications.choosing import send_again
from testbed.notifications.delivery import body_of
from testbed.views.problems import problem_page, status_of


@not_stored
@login_required
@require_GET
def index(request: Request) -> HttpResponse:
    """Show each mail and call with its attempts, the newest first."""
    page = page_of(request, Delivery.objects.of(request.user))
    rows = [(row, _body(row)) for row in page.object_list]
    context = {"page": page, "rows": rows}
    return render(request, "notifications/deliveries.html", context)


@login_required
@require_POST
def again(request: Request, pk: int) -> HttpResponse:
    """Send a call once more."""
    try:
        send_again(request.user, pk)
    except Delivery.DoesNotExist as exc:
        raise Http404("There is no such delivery.") from exc
    except TestbedError as exc:
        back = reverse("deliveries")
        return problem_page(request, exc, status=status_of(exc), back=back)
    messages.success(request, "It is being sent again; its end is shown below.")
    return redirect("deliveries")


def _body(row: Delivery) -> str:
    """Return what a webhook gets, as it is read by people; empty for a mail."""
    if not row.is_call:
        return ""
    return json.dumps(body_of(row.notification), indent=2, ensure_ascii=False)
