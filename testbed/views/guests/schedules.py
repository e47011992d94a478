"""Set and remove the schedules by which snapshots of a testbed's guests are taken."""

from datetime import time

from django import forms
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpResponse, JsonResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.views.decorators.http import require_POST

from orchestration.errors import ExecutionRefused
from orchestration.plan.snapshots import Rhythm
from testbed.access.addresses import Address
from testbed.access.permissions import Act
from testbed.access.visibility import Request, testbed_for
from testbed.models import SnapshotSchedule, Testbed
from testbed.models.snapshots.schedules import DAYS, HOURS, MOST_KEPT, USUAL_HOURS
from testbed.pages.guests.schedules import shapes
from testbed.snapshots.schedules import remove_schedule, set_schedule
from testbed.testbeds.erasure.losses import Unconfirmed
from testbed.views.erasing.question import Question, confirm_of, not_confirmed
from testbed.views.problems import problem_page, status_of, wants_json


class ScheduleForm(forms.Form):
    """One schedule; what its rhythm does not need is not sent."""

    rhythm = forms.ChoiceField(choices=[(one.value, one.value) for one in Rhythm])
    every_h = forms.TypedChoiceField(
        label="hours",
        choices=[(hours, str(hours)) for hours in HOURS],
        coerce=int,
        required=False,
        empty_value=str(USUAL_HOURS),
    )
    at = forms.TimeField(label="time", required=False)
    weekday = forms.TypedChoiceField(
        label="day",
        choices=list(enumerate(DAYS)),
        coerce=int,
        required=False,
        empty_value="0",
    )
    keep = forms.IntegerField(
        label="number to keep", min_value=1, max_value=MOST_KEPT, required=False
    )

    def problem(self) -> ExecutionRefused:
        """Return the first error, as one of ours."""
        name, errors = next(iter(self.errors.items()))
        return ExecutionRefused(
            f"The {self.fields[name].label or name} of the schedule is not right.",
            hint=str(errors[0]),
        )


@login_required
@require_POST
def change(request: Request, address: Address) -> HttpResponse:
    """Set a schedule, or remove it with `remove`."""
    testbed = testbed_for(request, address, Act.SCHEDULE_SNAPSHOTS)
    back = reverse("testbed-snapshots", args=[address])
    form = ScheduleForm(request.POST)
    if not form.is_valid():
        problem = form.problem()
        return problem_page(request, problem, status=status_of(problem), back=back)
    rhythm = form.cleaned_data["rhythm"]
    if "remove" in request.POST:
        remove_schedule(testbed, rhythm, request.user)
        said = f"No more {rhythm} snapshots are taken. Those that there are stay."
    else:
        schedule = _schedule(testbed, form.cleaned_data)
        try:
            set_schedule(schedule, request.user, confirm=confirm_of(request))
        except Unconfirmed as exc:
            return not_confirmed(request, exc, _question(request, schedule))
        said = f"Snapshots are taken {schedule.when}."
    if wants_json(request):
        return JsonResponse({"schedules": shapes(testbed)})
    messages.success(request, said)
    return redirect(f"{back}#schedules")


def _question(request: Request, schedule: SnapshotSchedule) -> Question:
    sent = {name: request.POST.get(name, "") for name in ScheduleForm.base_fields}
    return Question(
        title=f"Keep the last {schedule.keep} {schedule.rhythm} snapshots?",
        text=f"There are more of the {schedule.rhythm} rhythm, which this or a former "
        "schedule took. They are deleted within minutes. This cannot be undone.",
        address=reverse("testbed-snapshot-schedules", args=[schedule.testbed]),
        button="Set the schedule, and delete them",
        back=reverse("testbed-snapshots", args=[schedule.testbed]),
        fields={name: value for name, value in sent.items() if value},
        testbed=schedule.testbed,
    )


def _schedule(testbed: Testbed, sent: dict[str, object]) -> SnapshotSchedule:
    return SnapshotSchedule(
        testbed=testbed,
        rhythm=sent["rhythm"],
        every_h=int(str(sent["every_h"])),
        at=sent["at"] or time(2),
        weekday=int(str(sent["weekday"])),
        keep=sent["keep"] or 7,
    )
