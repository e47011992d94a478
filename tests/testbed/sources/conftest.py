"""A repository, and a testbed whose files come from it."""

from collections.abc import Callable
from pathlib import Path

import pytest

from testbed.models import Fetch, Source, Testbed
from testbed.sources.changes import ask_for_fetch
from testbed.sources.fetching import fetch_once
from testbed.sources.git import Rules
from tests.testbed.conftest import YAML
from tests.testbed.sources.repositories import Forge

# git runs as the test itself: the account `nobody` does not get into a test's folder.
LOCAL = Rules(protocols=frozenset({"file"}), account="")
FetchNow = Callable[[], Fetch]


@pytest.fixture
def forge(tmp_path: Path) -> Forge:
    found = Forge(tmp_path / "forge.git")
    found.commit({"kvm-compose.yaml": YAML, "setup.sh": "echo 1\n"}, "Begin the lab")
    return found


@pytest.fixture
def source(testbed: Testbed, forge: Forge) -> Source:
    """A source by the protocol `file`, which users cannot set."""
    return Source.objects.create(
        testbed=testbed, url=forge.url, branch="main", hook="hook", secret="secret"
    )


@pytest.fixture
def fetch_now(source: Source) -> FetchNow:
    def now() -> Fetch:
        asked = ask_for_fetch(source.testbed, source.testbed.owner)
        assert fetch_once(asked.pk, LOCAL) is not None
        asked.refresh_from_db()
        return asked

    return now
