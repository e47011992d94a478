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
from orchestration.errors import StateError, TestbedError
from testbed.access.permissions import Act, record_act, require
from testbed.access.visibility import Request, page_of
from testbed.models import Testbed, TrashItem
from testbed.models.trash import TrashQuerySet
from testbed.testbeds.erasure.losses import Unconfirmed
from testbed.testbeds.trash.items import erased_from_trash, remove_items
from testbed.testbeds.trash.restoring import restore_file, restore_testbed
from testbed.views.erasing.question import Question, ask, confirm_of, not_confirmed
from testbed.views.problems import problem_page, status_of, wants_json


@login_required
@require_GET
def index(request: Request) -> HttpResponse:
    """List what the user may bring back; a lab admin sees all users' things."""
    items = _visible(request).select_related("owner", "deleted_by")
    if wants_json(request):
        return JsonResponse({"items": [_shape(item) for item in items]})
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
        testbed, words = _restored(request, item)
    except TestbedError as exc:
        back = reverse("trash")
        return problem_page(request, exc, status=status_of(exc), back=back)
    act = Act.EDIT if item.path else Act.RESTORE
    record_act(request.user, act, testbed, words)
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


def _restored(request: Request, item: TrashItem) -> tuple[Testbed, str]:
    """Bring a thing back; return its testbed and a sentence. Raises: TestbedError."""
    if not item.path:
        testbed = restore_testbed(item)
        other = (
            ""
            if testbed.name == item.slug
            else f" as {testbed.name}: its name was taken"
        )
        return testbed, f"{item.slug} is back{other}. Up makes its guests anew."
    testbeds = Testbed.objects.all().visible_to(request.user)
    found = testbeds.select_related("owner").filter(pk=item.origin).first()
    if found is None:
        raise StateError(
            f"The testbed {item.slug} of this file is gone, or another user's.",
            hint="Restore the testbed first, if it is in the trash.",
        )
    require(request.user, Act.EDIT, found)
    path = restore_file(item, found)
    other = "" if path == item.path else f" as {path}: its name was taken"
    return found, f"{item.path} is back{other}."


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


def _shape(item: TrashItem) -> dict[str, object]:
    return {
        "id": item.pk,
        "testbed": item.slug,
        "path": item.path,
        "owner": item.owner.get_username(),
        "bytes": item.size_bytes,
        "deleted_by": str(item.deleted_by or ""),
        "deleted_at": item.deleted_at,
        "until": item.until,
    }
