"""The question before an act that erases something, and how its answer is read.

A service that erases refuses what was not confirmed, with all that dies
(`testbeds/erasure`). A person gets that as a page, a program as JSON with the token.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from django.contrib import messages
from django.http import HttpResponse, JsonResponse
from django.shortcuts import render

from testbed.access.visibility import Request
from testbed.api.shapes import problem_json
from testbed.models import Testbed, TrashItem
from testbed.testbeds.erasure.losses import Erasure, Unconfirmed, token_of
from testbed.views.problems import wants_json

SHOWN = 100
PRECONDITION_REQUIRED = 428
TRASH_TAG = "trash"


@dataclass(frozen=True, slots=True)
class Question:
    """The words of one question, and where its answer goes.

    `answer` is the name and value of its button. `fields` go with the answer. Without
    `testbed` its page is among those of `section`, a name and an address.
    """

    title: str
    text: str
    address: str
    button: str
    back: str
    answer: tuple[str, str] = ("", "")
    icon: str = "trash"
    keep: str = "Keep them"
    label: str = "To be erased"
    fields: Mapping[str, str | Sequence[str]] = field(default_factory=dict)
    testbed: Testbed | None = None
    section: tuple[str, str] = ("", "")

    @property
    def hidden(self) -> list[tuple[str, str]]:
        """The name and value of each hidden field."""
        return [
            (name, value)
            for name, found in self.fields.items()
            for value in ((found,) if isinstance(found, str) else found)
        ]


def confirm_of(request: Request) -> str:
    """Return what a request confirms: a program's token, or a person's seal and name."""
    form = request.POST
    seal, typed = form.get("seal", ""), form.get("typed", "").strip()
    return form.get("confirm") or (token_of(seal, typed) if seal else "")


def not_confirmed(
    request: Request, refusal: Unconfirmed, question: Question
) -> HttpResponse:
    """Ask a person once more, or tell a program what dies and how to confirm it."""
    if wants_json(request):
        return not_confirmed_json(refusal)
    seal, problem = request.POST.get("seal"), ""
    if seal == refusal.erasure.seal:
        name = refusal.erasure.must_type
        problem = f"The name was not typed as it is: {name}. Nothing was done."
    elif seal:
        problem = "The list has changed since you were asked. Nothing was done."
    return ask(request, question, refusal.erasure, problem=problem)


def not_confirmed_json(refusal: Unconfirmed) -> JsonResponse:
    """Tell a program what dies and how to confirm it."""
    shape = problem_json(refusal) | {"erases": refusal.erasure.to_json()}
    return JsonResponse(shape, status=PRECONDITION_REQUIRED)


def say_deleted(request: Request, name: str, item: TrashItem | None) -> None:
    """Tell a person of a deletion; the message leads to the trash that has it."""
    where = TRASH_TAG if item else ""
    messages.success(request, f"{name} was deleted.", extra_tags=where)


def ask(
    request: Request, question: Question, erasure: Erasure, *, problem: str = ""
) -> HttpResponse:
    """Show the question, with what dies, by name and size."""
    context = {
        "question": question,
        "erasure": erasure,
        "losses": erasure.losses[:SHOWN],
        "more": max(0, len(erasure.losses) - SHOWN),
        "problem": problem,
    }
    status = 422 if problem else 200
    return render(request, "erasing/question.html", context, status=status)
