"""A testbed with secrets, a script and a context, whose artefacts are written.

They are written as Generate does it, without any host.
"""

from typing import cast

import pytest

from orchestration.hosts import Host, Hosts
from orchestration.instructions.artefacts import generate_artefacts
from orchestration.instructions.task import Task
from orchestration.plan.model import Command, Options, Resource
from orchestration.transport.base import Scope
from testbed.models import Testbed
from tests.testbed.pages.artefacts.downloads import SCRIPT, SECRETIVE
from tests.testbed.preparing import prepare


@pytest.fixture
def generated(testbed: Testbed) -> Testbed:
    """A testbed whose artefacts are written, as Generate does it."""
    testbed.project.yaml.write_text(SECRETIVE)
    testbed.project.file("a.sh").write_text(SCRIPT)
    testbed.project.file("ctx/inner").mkdir(parents=True)
    testbed.project.file("ctx/inner/page.html").write_text("<h1>hello</h1>")
    testbed.project.file("ctx/link").symlink_to("inner/page.html")
    state, _ = prepare(testbed, Command.GENERATE_ARTEFACTS, Options())
    for guest in state.guests:
        task = Task(
            index=0,
            resource=Resource(guest.name, "main", guest.name),
            state=state,
            project=testbed.project,
            options=Options(),
            host=cast(Host, None),
            hosts=cast(Hosts, None),
            scope=Scope(),
            sink=lambda event: None,
        )
        generate_artefacts(task)
    return testbed
