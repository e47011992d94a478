"""Images: what the hosts keep, and which testbeds need each. For lab admins only."""

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from orchestration.amounts import count_of, size
from orchestration.errors import TestbedError
from testbed.access.permissions import require_admin
from testbed.access.visibility import Request
from testbed.images.listing import (
    Selection,
    delete_images,
    erased_images,
    refresh_images,
    seen_stores,
    selected,
    waited_look,
)
from testbed.models import Cleanup
from testbed.testbeds.erasure.losses import Unconfirmed
from testbed.views.erasing.question import Question, ask, confirm_of, not_confirmed
from testbed.views.problems import problem_page, status_of


@login_required
@require_GET
def index(request: Request) -> HttpResponse:
    """List the images as last seen; htmx gets the part that changes."""
    require_admin(request.user)
    stores = seen_stores()
    is_looking, waiting = waited_look()
    context = {
        "stores": stores,
        "unused": selected(stores, ["all"]),
        "never_read": [s.host.name for s in stores if s.row is None],
        "is_looking": is_looking,
        "waiting": waiting,
        "cleanups": Cleanup.objects.latest_of(Cleanup.Subject.IMAGES),
    }
    template = "images/_stores.html" if request.htmx else "images/list.html"
    return render(request, template, context)


@login_required
@require_POST
def look(request: Request) -> HttpResponse:
    """Request a look at the hosts."""
    require_admin(request.user)
    refresh_images()
    return redirect("images")


@login_required
@require_http_methods(["GET", "POST"])
def delete(request: Request) -> HttpResponse:
    """Show the chosen images and what that frees; delete once confirmed."""
    require_admin(request.user)
    if request.method == "POST":
        picks = request.POST.getlist("pick")
        try:
            found = delete_images(picks, request.user, confirm=confirm_of(request))
        except Unconfirmed as exc:
            question = _question(selected(seen_stores(), picks))
            return not_confirmed(request, exc, question)
        except TestbedError as exc:
            back = reverse("images")
            return problem_page(request, exc, status=status_of(exc), back=back)
        return redirect("cleanup", found.pk)
    chosen = selected(seen_stores(), request.GET.getlist("pick"))
    if not chosen.picks:
        messages.warning(request, "Choose what to delete first.")
        return redirect("images")
    return ask(request, _question(chosen), erased_images(chosen))


def _question(chosen: Selection) -> Question:
    again = "Base images are downloaded again when a testbed needs them. "
    number, amount = count_of(len(chosen.picks), "item"), size(chosen.bytes)
    return Question(
        title=f"Free {amount}?",
        text=f"{again if chosen.has_base else ''}Golden images are prepared again. "
        "Images in use by the time their turn comes stay.",
        address=reverse("images-delete"),
        button=f"Delete {number}, {amount}",
        back=reverse("images"),
        fields={"pick": chosen.picks},
        section=("Images", reverse("images")),
    )
