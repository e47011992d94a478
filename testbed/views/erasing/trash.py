"""The trash: what was deleted, brought back with one click or removed for good."""

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpResponse, JsonResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.views.decorators.http import (
    require_GET,
    require_http_methods,
    require_POST,
)

from orchestration.amounts import count_of
from orchestration.errors import TestbedError
from testbed.access.visibility import Request, page_of
from testbed.api.shapes import trash_json
from testbed.models import TrashItem
from testbed.models.trash import TrashQuerySet
from testbed.testbeds.erasure.losses import Unconfirmed
from testbed.testbeds.trash.items import erased_from_trash, remove_items
from testbed.testbeds.trash.restoring import bring_back
from testbed.views.erasing.question import Question, ask, confirm_of, not_confirmed
from testbed.views.problems import problem_page, status_of, wants_json


@login_required
@require_GET
def index(request: Request) -> HttpResponse:
    """List what the user may bring back; a lab admin sees all users' things."""
    items = _visible(request).select_related("owner", "deleted_by")
    if wants_json(request):
        return JsonResponse({"items": [trash_json(item) for item in items]})
    own = TrashItem.objects.filter(owner=request.user)
    context = {
        "page": page_of(request, items),
        "own_count": own.count(),
        "own_bytes": own.size_bytes(),
    }
    return render(request, "erasing/trash.html", context)


@login_required
@require_POST
def restore(request: Request, pk: int) -> HttpResponse:
    """Bring one thing back."""
    item = get_object_or_404(_visible(request), pk=pk)
    try:
        testbed, words = bring_back(item, request.user)
    except TestbedError as exc:
        back = reverse("trash")
        return problem_page(request, exc, status=status_of(exc), back=back)
    if wants_json(request):
        return JsonResponse({"restored": words, "testbed": testbed.full_name})
    messages.success(request, words)
    return redirect("testbed", testbed)


@login_required
@require_http_methods(["GET", "POST"])
def delete(request: Request, pk: int) -> HttpResponse:
    """Ask, then remove one thing for good."""
    item = get_object_or_404(_visible(request), pk=pk)
    question = Question(
        title=f"Remove the {item.thing} for good?",
        text="It is removed from the trash. This cannot be undone.",
        address=reverse("trash-delete", args=[pk]),
        button="Remove it for good",
        keep="Keep it",
        back=reverse("trash"),
        section=("Trash", reverse("trash")),
    )
    return _removed(request, _visible(request).filter(pk=pk), question)


@login_required
@require_http_methods(["GET", "POST"])
def empty(request: Request) -> HttpResponse:
    """Ask, then remove all that the user's own trash holds."""
    items = TrashItem.objects.filter(owner=request.user)
    question = Question(
        title="Empty your trash?",
        text="All of it is removed. This cannot be undone.",
        address=reverse("trash-empty"),
        button=f"Remove {count_of(items.count(), 'thing')} for good",
        back=reverse("trash"),
        section=("Trash", reverse("trash")),
    )
    return _removed(request, items, question)


def _visible(request: Request) -> TrashQuerySet:
    return TrashItem.objects.all().visible_to(request.user)


def _removed(
    request: Request, items: TrashQuerySet, question: Question
) -> HttpResponse:
    if request.method == "GET":
        return ask(request, question, erased_from_trash(items))
    try:
        count = remove_items(items, request.user, confirm=confirm_of(request))
    except Unconfirmed as exc:
        return not_confirmed(request, exc, question)
    if wants_json(request):
        return JsonResponse({"removed": count})
    messages.success(request, f"{count_of(count, 'thing')} removed for good.")
    return redirect("trash")
