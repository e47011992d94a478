"""The schedules by which snapshots of a testbed's guests are taken."""

from datetime import datetime, time

from django.http import HttpResponse
from ninja import Field, Router
from pydantic import BaseModel

from orchestration.plan.snapshots import Rhythm
from testbed.access.permissions import Act
from testbed.access.visibility import Request
from testbed.api.places import testbed_of
from testbed.api.wishes import Wish, Words
from testbed.models import SnapshotSchedule
from testbed.models.snapshots.schedules import DAYS, HOURS, MOST_KEPT, USUAL_HOURS
from testbed.pages.guests.schedules import shapes
from testbed.snapshots.schedules import remove_schedule, set_schedule

router = Router(tags=["snapshots"])


class ScheduleShape(BaseModel):
    """A schedule, with what its last occasion said."""

    rhythm: Rhythm
    when: str
    keep: int
    set_by: str
    set_at: datetime
    next_at: datetime | None
    tried_at: datetime | None
    said: str
    run: int | None


class ScheduleList(BaseModel):
    """All schedules of a testbed."""

    items: list[ScheduleShape]


class ScheduleWish(Wish):
    """A schedule: `every_h` of the hourly one, `at` of the others, `weekday` 0: Sunday.

    `keep` is how many of each guest stay; `confirm` is the token where more are there.
    """

    every_h: int = Field(USUAL_HOURS, ge=HOURS.start, lt=HOURS.stop)
    at: time = time(2)
    weekday: int = Field(0, ge=0, lt=len(DAYS))
    keep: int = Field(7, ge=1, le=MOST_KEPT)
    confirm: Words = ""


@router.get("/testbeds/{account}/{name}/schedules", response=ScheduleList)
def list_schedules(request: Request, account: str, name: str) -> dict[str, object]:
    """List the schedules."""
    return {"items": shapes(testbed_of(request, account, name, Act.SEE))}


@router.put(
    "/testbeds/{account}/{name}/schedules/{rhythm}",
    response=ScheduleList,
    operation_id="set_schedule",
)
def put_schedule(
    request: Request, account: str, name: str, rhythm: Rhythm, wish: ScheduleWish
) -> dict[str, object]:
    """Take snapshots by a schedule; above its number, the answer is 428 at first."""
    testbed = testbed_of(request, account, name, Act.SCHEDULE_SNAPSHOTS)
    values = wish.model_dump(exclude={"confirm", "at"})
    at = wish.at.replace(second=0, microsecond=0, tzinfo=None)
    schedule = SnapshotSchedule(testbed=testbed, rhythm=rhythm, at=at, **values)
    set_schedule(schedule, request.user, confirm=wish.confirm)
    return {"items": shapes(testbed)}


@router.delete(
    "/testbeds/{account}/{name}/schedules/{rhythm}",
    response={204: None},
    operation_id="remove_schedule",
)
def drop_schedule(
    request: Request, account: str, name: str, rhythm: Rhythm
) -> HttpResponse:
    """Take no more snapshots of a rhythm; those that there are stay."""
    testbed = testbed_of(request, account, name, Act.SCHEDULE_SNAPSHOTS)
    remove_schedule(testbed, rhythm, request.user)
    return HttpResponse(status=204)
