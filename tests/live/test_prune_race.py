"""Images are pruned without a pause while a testbed comes up, goes and comes again.

Whatever the moment at which an image is judged unused, the `up` that begins then has
to succeed: it finds the image, gets it back, or brings it anew.
"""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.live.stack import CHECKOUT, Stack
from tests.live.watch import DATA, ran

pytestmark = [pytest.mark.live, pytest.mark.slow, pytest.mark.timeout(900)]
SLUG = "hasty"
ROUNDS = 2
PRUNE = """
from pathlib import Path
from testbed.images.pruning import Images
from testbed.worker import kept_hosts
removed, stop = 0, Path({stop!r})
while not stop.exists():
    images = Images(kept_hosts())
    for found in images.observe():
        images.prune(found, lambda *_: True)
        assert not found.problem, found.problem
        removed += len(found.removed)
print(f"removed {{removed}}")
"""


@pytest.fixture(name="pruner")
def _pruner(stack: Stack, tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """A process on main that prunes for as long as the file `stop` is not there."""
    code = PRUNE.format(stop=str(tmp_path / "stop"))
    words = (str(CHECKOUT / "manage.py"), "shell", "-v", "0", "-c", code)
    with subprocess.Popen(
        stack.main.argv(sys.executable, *words),
        env=stack.environment,
        cwd=CHECKOUT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        yield process
        (tmp_path / "stop").touch()


def test_testbed_comes_up_whenever_its_images_are_pruned(
    stack, owner, pruner, tmp_path
):
    owner.create_testbed(SLUG, DATA / "pair")

    for _ in range(ROUNDS):
        up = ran(owner, SLUG, "up")
        assert up.status == "succeeded", up.words
        cleared = ran(owner, SLUG, "clear-artefacts")
        assert cleared.status == "succeeded", cleared.words

    (tmp_path / "stop").touch()
    said, _ = pruner.communicate()
    assert pruner.returncode == 0, said
    assert int(said.split()[-1]) > 0, said
