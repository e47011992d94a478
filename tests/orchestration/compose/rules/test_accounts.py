"""Which names an account in a guest may have."""

import pytest

from orchestration.compose.check import check
from orchestration.compose.loader import Loaded
from tests.golden import DATA
from tests.orchestration.compose.fakes import FakeFiles, catalogue_with_test_guest

ROW = (DATA / "testbeds/rows/username-of-the-system.yaml").read_bytes()


def named(username: str) -> Loaded:
    text = ROW.replace(b"operator", username.encode())
    return check(text, files=FakeFiles(), catalogue=catalogue_with_test_guest())


@pytest.mark.parametrize(
    "name", ["operator", "users", "daemon", "root", "backup", "www-data"]
)
def test_name_of_an_account_or_group_of_the_system_is_refused(name: str) -> None:
    (finding,) = named(name).findings

    assert f"`{name}` is an account or a group" in finding.message
    assert named(name).spec is None


@pytest.mark.parametrize("name", ["student", "ubuntu", "debian", "me"])
def test_other_names_are_taken(name: str) -> None:
    assert named(name).findings == ()
