"""Up, Down, Extend and Delete of the testbeds that are ticked in the list."""

import re
from collections.abc import Mapping
from functools import partial

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpResponse, JsonResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.views.decorators.http import require_http_methods

from orchestration.amounts import count_of
from orchestration.errors import TestbedError
from testbed.access.visibility import Request
from testbed.api.shapes import problem_json
from testbed.testbeds.erasure.losses import Unconfirmed, require_confirmed
from testbed.views.erasing.question import Question, ask, confirm_of, not_confirmed
from testbed.views.listing.places import list_of
from testbed.views.listing.ticked import Choice, Result, TickedAct, carry_out, chosen
from testbed.views.problems import problem_page, status_of, wants_json

DONE = {
    TickedAct.UP: "Up was started",
    TickedAct.DOWN: "Down was started",
    TickedAct.EXTEND: "Extended",
    TickedAct.DELETE: "Deleted",
}
TEXTS = {
    TickedAct.UP: "Up erases these disks, with everything that was written in them. "
    "This cannot be undone.",
    TickedAct.DOWN: "Their guests and networks stop; disks and artefacts stay.",
    TickedAct.DELETE: "Their keys, the disks of their guests on all hosts, the files "
    "that guests sent and the records of their runs are removed for good.",
}


@login_required
@require_http_methods(["GET", "POST"])
def act(request: Request) -> HttpResponse:
    """Do one thing to each ticked testbed, after a question where something is lost."""
    if request.method == "GET":
        return redirect("testbeds")
    refuse = partial(problem_page, request, back=list_of(request))
    try:
        names = request.POST.getlist("testbed")
        choice = chosen(request.user, request.POST.get("act", ""), names)
        if _must_ask(request, choice):
            return ask(request, _question(request, choice), choice.erasure)
        require_confirmed(choice.erasure, confirm_of(request))
    except Unconfirmed as exc:
        return not_confirmed(request, exc, _question(request, choice))
    except TestbedError as exc:
        return refuse(exc, status=status_of(exc))
    return _answer(request, choice, carry_out(choice, request.user))


def _must_ask(request: Request, choice: Choice) -> bool:
    """Return whether a person has to answer first, also where no data is lost."""
    if wants_json(request) or not choice.testbeds:
        return False
    if choice.act is TickedAct.EXTEND:
        return False
    if choice.act is TickedAct.DELETE:
        return "seal" not in request.POST
    return request.POST.get("end_tools", "") != choice.tools_digest


def _question(request: Request, choice: Choice) -> Question:
    back = list_of(request)
    count = count_of(len(choice.testbeds), "testbed")
    return Question(
        title=f"{choice.act.word} {count}?",
        text=f"{choice.names}. {TEXTS[choice.act]}",
        address=reverse("testbeds-act"),
        answer=("act", choice.act.value),
        button=f"{choice.act.word} {count}",
        icon="trash" if choice.act is TickedAct.DELETE else f"arrow-{choice.act}",
        back=back,
        fields={
            "back": back,
            "testbed": [testbed.full_name for testbed in choice.testbeds],
            "end_tools": choice.tools_digest,
        },
        section=("Testbeds", reverse("testbeds")),
    )


def _answer(request: Request, choice: Choice, result: Result) -> HttpResponse:
    if wants_json(request):
        refused = [
            {"testbed": name, **problem_json(problem)}
            for name, problem in result.refused.items()
        ]
        return JsonResponse({"done": result.done, "refused": refused})
    if result.done:
        messages.success(request, f"{DONE[choice.act]}: {', '.join(result.done)}.")
    for names, sentence in _reasons(result.refused):
        were = "was" if len(names) == 1 else "were"
        messages.error(request, f"{', '.join(names)} {were} left out: {sentence}")
    return redirect(list_of(request))


def _reasons(refused: Mapping[str, TestbedError]) -> list[tuple[list[str], str]]:
    """Return the testbeds that were left out for the same reason, and the reason.

    Of one alone it is the sentence as it is, with the testbed's name.
    """
    found: dict[str, list[str]] = {}
    for name, problem in refused.items():
        own = re.escape(name.rpartition("/")[2])
        same = re.sub(
            rf"\b([Tt])estbed (?:\S+/)?{own}\b", r"\1he testbed", problem.sentence
        )
        found.setdefault(same, []).append(name)
    return [
        (names, refused[names[0]].sentence if len(names) == 1 else same)
        for same, names in found.items()
    ]
