"""Looks at the images of all hosts, kept as rows for the pages.

A silent host keeps what was seen before, with the reason; a look that began earlier
does not replace a newer one.
"""

from datetime import timedelta
from typing import Self

import pytest
from django.utils import timezone

from orchestration.hosts import Host
from orchestration.inventory.images import Store
from orchestration.state.model import State
from orchestration.transport.base import Scope
from testbed.celery import OBSERVE_IMAGES, app
from testbed.images import pruning as images_task
from testbed.images.pruning import Images, look_at_images, save
from testbed.models import Host as HostRow
from testbed.models import ImageStore
from tests.orchestration.stores import GOLDEN
from tests.testbed.images.image_hosts import Machines
from tests.testbed.images.pruning import name_of


class OneByOne:
    """Stands in for a pool of threads."""

    def __init__(self, workers: int) -> None: ...

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None: ...

    map = staticmethod(map)


def test_look_is_kept_with_users_and_reasons(machines: Machines, state: State) -> None:
    machines.other.put(GOLDEN)

    look_at_images(machines)

    row = ImageStore.objects.get(host__name="host-b")
    found = {image["name"]: image for image in row.images}
    assert found[name_of(state)]["testbeds"] == {"lab": 1}
    assert found[GOLDEN]["testbeds"] == {}
    assert row.looked_at == row.seen_at
    assert row.total_bytes > row.free_bytes > 0


def test_silent_host_keeps_what_was_seen_with_the_reason(
    machines: Machines, state: State
) -> None:
    look_at_images(machines)
    machines.dead = {"host-b"}

    look_at_images(machines)

    row = ImageStore.objects.get(host__name="host-b")
    assert "does not answer" in row.problem
    assert [image["name"] for image in row.images] == [name_of(state)]
    assert row.looked_at > row.seen_at


def test_surprising_answer_of_one_host_costs_no_other_its_look(
    machines: Machines,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    machines.main.put(GOLDEN)
    machines.other.put(GOLDEN)
    real = images_task.observe

    def surprised(host: Host, **more: Scope) -> Store:
        if host.state.name == "host-b":
            raise ZeroDivisionError
        return real(host, **more)

    monkeypatch.setattr(images_task, "observe", surprised)

    look_at_images(machines)

    main, other = (ImageStore.objects.get(host__name=n) for n in ("main", "host-b"))
    assert GOLDEN in [image["name"] for image in main.images]
    # Of an image that another host may need, too, nobody says that it is unused.
    assert "host-b could not be asked" in str(main.images)
    assert "The look at the images on host-b ended with an unexpected" in other.problem
    assert "ZeroDivisionError" in caplog.text


def test_host_that_is_removed_during_a_look_does_not_cost_the_others_theirs(
    machines: Machines, monkeypatch: pytest.MonkeyPatch
) -> None:
    machines.other.put(GOLDEN)
    real = images_task.observe

    def look(host: Host, **more: Scope) -> Store:
        seen = real(host, **more)
        HostRow.objects.filter(name="main").delete()
        return seen

    # One after the other: the rows belong to the connection of this thread.
    monkeypatch.setattr(images_task, "ThreadPoolExecutor", OneByOne)
    monkeypatch.setattr(images_task, "observe", look)

    look_at_images(machines)

    assert [row.host.name for row in ImageStore.objects.all()] == ["host-b"]


def test_look_that_began_earlier_and_ends_later_is_not_kept(machines: Machines) -> None:
    began = timezone.now()
    earlier = Images(machines).observe()
    machines.other.put(GOLDEN)
    look_at_images(machines)

    for found in earlier:
        save(found, began)

    row = ImageStore.objects.get(host__name="host-b")
    assert [image["name"] for image in row.images] == [GOLDEN]
    assert row.looked_at > began


def test_look_is_kept_after_the_clock_was_set_back(machines: Machines) -> None:
    look_at_images(machines)
    ahead = timezone.now() + timedelta(hours=1)
    ImageStore.objects.update(looked_at=ahead)
    machines.other.put(GOLDEN)

    look_at_images(machines)

    row = ImageStore.objects.get(host__name="host-b")
    assert GOLDEN in [image["name"] for image in row.images]
    assert row.looked_at < ahead


def test_worker_knows_the_task_that_pages_and_beat_ask_for(settings: object) -> None:
    assert OBSERVE_IMAGES in app.tasks
    assert OBSERVE_IMAGES in {
        entry["task"] for entry in settings.CELERY_BEAT_SCHEDULE.values()
    }
