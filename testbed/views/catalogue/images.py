"""The image catalogue: what a user's YAML may name, and what users saved of guests."""

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpResponse, JsonResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from orchestration.amounts import size
from orchestration.errors import TestbedError
from testbed.access.permissions import require_admin
from testbed.access.visibility import Request, page_of
from testbed.images.catalogue import deletable_images, image_json, visible_images
from testbed.images.saved import delete_saved, erased_image, share_with_all
from testbed.models import SavedImage
from testbed.testbeds.erasure.losses import Unconfirmed
from testbed.testbeds.findings import installed_catalogue
from testbed.views.erasing.question import Question, ask, confirm_of, not_confirmed
from testbed.views.problems import problem_page, status_of, wants_json


@login_required
@require_GET
def index(request: Request) -> HttpResponse:
    """List the images that the user may name; lab admins see those of all users.

    The page also has deleted ones, which count until their file is gone.
    """
    saved = visible_images(request.user).select_related("owner", "run__testbed__owner")
    ours = installed_catalogue().values()
    if wants_json(request):
        shapes = [image_json(one, request.user) for one in saved.kept()]
        return JsonResponse({"saved": shapes})
    context = {
        "page": page_of(request, saved),
        "installed": [image.name for image in ours],
    }
    return render(request, "catalogue/images.html", context)


@login_required
@require_http_methods(["GET", "POST"])
def delete(request: Request, pk: int) -> HttpResponse:
    """Ask what dies, and delete an image of the user's; lab admins delete any."""
    image = get_object_or_404(deletable_images(request.user), pk=pk)
    question = _question(
        f"Delete image {image}?",
        "No YAML can name it any more. Its file goes from all hosts, and counts to its "
        "owner's disks until it is gone. This cannot be undone.",
        reverse("catalogue-delete", args=[image.pk]),
        f"Delete {image}, {size(image.size_bytes)}",
    )
    try:
        if request.method == "GET":
            return ask(request, question, erased_image(image, request.user))
        delete_saved(image, request.user, confirm=confirm_of(request))
    except Unconfirmed as exc:
        return not_confirmed(request, exc, question)
    except TestbedError as exc:
        back = reverse("catalogue")
        return problem_page(request, exc, status=status_of(exc), back=back)
    if wants_json(request):
        return JsonResponse({"deleted": image.name})
    messages.success(request, f"Image {image} was deleted.")
    return redirect("catalogue")


@login_required
@require_POST
def share(request: Request, pk: int) -> HttpResponse:
    """Let all users name an image, or take it back; others may need it then."""
    require_admin(request.user)
    image = get_object_or_404(SavedImage.objects.ready(), pk=pk)
    is_shared, confirm = request.POST.get("shared") == "on", confirm_of(request)
    try:
        share_with_all(image, request.user, is_shared=is_shared, confirm=confirm)
    except Unconfirmed as exc:
        question = _question(
            f"Take image {image} back?",
            f"Only YAMLs of {image.owner} can name it then.",
            reverse("catalogue-share", args=[image.pk]),
            f"Take {image} back",
        )
        return not_confirmed(request, exc, question)
    except TestbedError as exc:
        back = reverse("catalogue")
        return problem_page(request, exc, status=status_of(exc), back=back)
    if wants_json(request):
        return JsonResponse({"shared": is_shared})
    return redirect("catalogue")


def _question(title: str, text: str, address: str, button: str) -> Question:
    back = reverse("catalogue")
    return Question(
        title=title,
        text=text,
        address=address,
        button=button,
        back=back,
        keep="Keep it",
        section=("Images", back),
    )
