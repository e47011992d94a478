"""A capture on pages: the interfaces to choose from, and its file while it grows."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from asgiref.sync import sync_to_async

from orchestration.instructions.execution.captures import FILE
from orchestration.plan.captures import points_of
from orchestration.state.model import State
from testbed.models import Run
from testbed.pages.streaming import PIECE_BYTES

LOOK_EVERY_S = 0.3


@dataclass(frozen=True, slots=True)
class Choice:
    """An interface of a guest, as the form has it."""

    value: str
    label: str


def choices_of(state: State) -> list[Choice]:
    """Return the interfaces whose packets can be captured."""
    return [
        Choice(
            f"{point.guest.name} {point.interface.name}",
            f"{point.guest.name} {point.interface.name}, on {point.interface.bridge}",
        )
        for point in points_of(state)
    ]


def capture_file(run: Run) -> Path:
    """Return the file of a capture, which may not be there yet, or be gone."""
    return run.testbed.project.answers(run.pk) / FILE


async def growing(run: Run) -> AsyncIterator[bytes]:
    """Send a capture's file as it is, and what comes until its run is over."""
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
            is_over = not await Run.objects.active().filter(pk=run.pk).aexists()
            await asyncio.sleep(0 if is_over else LOOK_EVERY_S)
    finally:
        if file:
            file.close()


def _opened(path: Path) -> BinaryIO:
    return path.open("rb")
