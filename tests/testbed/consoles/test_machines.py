"""The gateway's way to guests: what a testbed's state says before a host is asked."""

from contextlib import closing
from pathlib import Path

import pytest

from orchestration.errors import ConsoleUnavailable
from orchestration.hosts import Hosts
from testbed.consoles.machines import Machines, Place
from testbed.models import Testbed


def test_guest_without_an_account_has_no_shell(generated: Testbed, tmp_path: Path):
    before = generated.project.read_state()
    guest = before.guest("web").model_copy(update={"seed": ""})
    generated.project.write_change(
        before, before.model_copy(update={"guests": (guest,)})
    )

    with (
        closing(Hosts(tmp_path)) as hosts,
        pytest.raises(ConsoleUnavailable, match="Guest web has no account"),
    ):
        Machines(hosts).open_shell(Place("lab", before.number, "web"), 80, 24)


def test_guest_that_is_not_in_the_state_is_named(generated: Testbed, tmp_path: Path):
    with (
        closing(Hosts(tmp_path)) as hosts,
        pytest.raises(ConsoleUnavailable, match="The testbed has no guest other"),
    ):
        Machines(hosts).open_shell(Place("lab", generated.number, "other"), 80, 24)


def test_testbed_that_has_the_name_of_a_deleted_one_is_refused(
    generated: Testbed, tmp_path: Path
):
    earlier = Place("lab", generated.number + 1, "web")

    with (
        closing(Hosts(tmp_path)) as hosts,
        pytest.raises(ConsoleUnavailable, match="The testbed is not the one"),
    ):
        Machines(hosts).open_shell(earlier, 80, 24)
