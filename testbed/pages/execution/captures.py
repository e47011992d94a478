"""A capture on pages: the places to choose from, and its file while it grows."""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from asgiref.sync import sync_to_async
from django.contrib.auth.models import User

from orchestration.plan.captures import Point, points_of
from orchestration.state.model import State
from testbed.access.permissions import Act, may
from testbed.models import Run
from testbed.pages.streaming import PIECE_BYTES
from testbed.runs.kept import capture_file

LOOK_EVERY_S = 0.3
# Finds the user of a download as that is now: None when the session or token has ended.
FindUser = Callable[[], User | None]


@dataclass(frozen=True, slots=True)
class Choice:
    """An interface of a guest, or a bridge, as the form has it."""

    value: str
    label: str


def choices_of(state: State) -> list[Choice]:
    """Return the interfaces and bridges whose packets can be captured."""
    return [Choice(point.capture.place, _label(point)) for point in points_of(state)]


def _label(point: Point) -> str:
    if point.tap:
        return f"{point.capture.place}, on {point.bridge}"
    return f"all of {point.capture.place}"


async def growing(run: Run, find_user: FindUser) -> AsyncIterator[bytes]:
    """Send a capture's file as it is, and what comes until its run is over.

    It ends, too, when its user has signed out or may not take its packets any more.
    """
    is_over = False
    file: BinaryIO | None = None
    try:
        while True:
            path = capture_file(run)
            if file is None and await sync_to_async(path.is_file)():
                file = await sync_to_async(_opened)(path)
            while file and (piece := await sync_to_async(file.read)(PIECE_BYTES)):
                yield piece
            if is_over:
                return
            # What is written before the end is read once more after it.
            status = await sync_to_async(_status)(run.pk, find_user)
            if status is None:
                return
            is_over = status not in Run.ACTIVE
            await asyncio.sleep(0 if is_over else LOOK_EVERY_S)
    finally:
        if file:
            file.close()


def _status(run_id: int, find_user: FindUser) -> str | None:
    """Return the run's status; None when the user may not take its packets."""
    user = find_user()
    if user is None:
        return None
    visible = Run.objects.all().visible_to(user).select_related("testbed__owner")
    run = visible.defer("plan", "options").filter(pk=run_id).first()
    if run is None or not may(user, Act.TAKE_PACKETS, run.testbed):
        return None
    return run.status


def _opened(path: Path) -> BinaryIO:
    return path.open("rb")
