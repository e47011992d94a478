"""The page on which users choose what they are told, and set their webhook."""

from django.conf import settings
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods, require_POST

from orchestration.errors import TestbedError
from testbed.access.visibility import Request, not_stored
from testbed.models import Delivery
from testbed.models.notifications.choices import CHOSEN_KINDS, Channel
from testbed.notifications.choosing import (
    choice_of,
    choose,
    remove_webhook,
    set_webhook,
    try_webhook,
)

UNPROCESSABLE = 422
MOST_SHOWN = 5


@not_stored
@login_required
@require_http_methods(["GET", "POST"])
def index(request: Request) -> HttpResponse:
    """Show the user's choice, or take a new one."""
    if request.method == "GET":
        return _page(request)
    choose(request.user, set(request.POST.getlist("way")))
    messages.success(request, "What you are told of was changed.")
    return redirect("notification-settings")


@sensitive_post_parameters("url")
@not_stored
@login_required
@require_POST
def webhook(request: Request) -> HttpResponse:
    """Set, test or remove the user's webhook; a new secret is shown this once."""
    do, url = request.POST.get("do", ""), request.POST.get("url", "")
    try:
        if do == "set":
            return _page(request, secret=set_webhook(request.user, url))
        if do == "test":
            try_webhook(request.user)
            messages.success(request, "A test is being sent; its end is shown below.")
        elif do == "remove":
            remove_webhook(request.user)
            messages.success(request, "The webhook was removed.")
        else:
            raise TestbedError("There is no such change of a webhook.")
    except TestbedError as exc:
        return _page(request, refused=exc, typed=url)
    return redirect("notification-settings")


def _page(
    request: Request,
    *,
    refused: TestbedError | None = None,
    typed: str = "",
    secret: str = "",
) -> HttpResponse:
    choice = choice_of(request.user)
    rows = [
        (kind, [(way, choice.chose(kind, way)) for way in Channel])
        for kind in CHOSEN_KINDS
    ]
    context = {
        "rows": rows,
        "channels": Channel,
        "choice": choice,
        "has_mail": bool(settings.EMAIL_HOST),
        "refused": refused,
        "typed": typed,
        "secret": secret,
        "deliveries": Delivery.objects.of(request.user)[:MOST_SHOWN],
    }
    status = UNPROCESSABLE if refused else 200
    return render(request, "notifications/settings.html", context, status=status)
