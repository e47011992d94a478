"""Cancel while an image is fetched, copied, verified or waited for.

What can be gone on with stays as a part; everything else leaves nothing behind. Two
who want the same image at once are here, too: one of them waits.
"""

import threading

import pytest

from orchestration.compose.catalogue import Image
from orchestration.errors import Cancelled
from orchestration.providers.images import base_images
from orchestration.providers.images.locks import locked
from orchestration.transport.base import Scope
from tests.orchestration.providers.images.base_images.webserver import (
    DATA,
    SHA256,
    image,
)
from tests.tags import OWN_TAG


def test_cancel_ends_a_fetch_that_waits_for_a_silent_server(server, target, scope):
    server.cut_after = 5000
    server.go_on.clear()
    all_read = threading.Event()

    def note(done, total):
        if done == server.cut_after:
            all_read.set()

    canceller = threading.Thread(target=lambda: (all_read.wait(120), scope.cancel()))
    canceller.start()

    with pytest.raises(Cancelled):
        base_images.ensure_image(image(server), target, scope=scope, on_progress=note)

    canceller.join()
    assert not server.gave_up
    assert not target.exists()


def test_same_image_wanted_twice_at_once_is_fetched_once(server, target):
    server.cut_after = 5000
    server.go_on.clear()
    results, said = [], []
    waiting = threading.Event()

    def want(log):
        wanted = image(server)
        results.append(base_images.ensure_image(wanted, target, scope=Scope(), log=log))

    def note(text):
        said.append(text)
        waiting.set()

    first = threading.Thread(target=want, args=(None,))
    first.start()
    assert server.stalled.wait(120)
    second = threading.Thread(target=want, args=(note,))
    second.start()
    assert waiting.wait(120)
    server.go_on.set()
    for thread in (first, second):
        thread.join()

    assert sorted(results) == [False, True]
    assert "waiting" in said[0]
    assert target.read_bytes() == DATA


def test_waiting_for_another_fetch_can_be_cancelled(server, target, scope):
    target.parent.mkdir()
    held = threading.Event()
    over = threading.Event()

    def hold():
        with locked(target, Scope(), lambda text: None):
            held.set()
            over.wait(120)

    holder = threading.Thread(target=hold)
    holder.start()
    assert held.wait(120)

    with pytest.raises(Cancelled):
        base_images.ensure_image(
            image(server), target, scope=scope, log=lambda text: scope.cancel()
        )
    over.set()
    holder.join()


def cancelling(scope):
    """Cancels from another thread as soon as there is progress."""

    def on_progress(done, total):
        canceller = threading.Thread(target=scope.cancel)
        canceller.start()
        canceller.join()

    return on_progress


@pytest.mark.parametrize("at", ["on_progress", "on_verify"])
def test_cancelled_copy_into_the_store_leaves_no_part(tmp_path, target, scope, at):
    source = tmp_path / "built.qcow2"
    source.write_bytes(DATA)
    wanted = Image(name="disk", path=str(source), sha256=SHA256)

    with pytest.raises(Cancelled):
        base_images.ensure_image(wanted, target, scope=scope, **{at: cancelling(scope)})

    assert [path.suffix for path in target.parent.iterdir()] == [".lock"]


@pytest.mark.parametrize("at", ["on_progress", "on_verify"])
def test_cancelled_fetch_leaves_a_part_that_the_next_one_goes_on_with(
    server, target, scope, at
):
    with pytest.raises(Cancelled):
        base_images.ensure_image(
            image(server), target, scope=scope, **{at: cancelling(scope)}
        )
    assert not target.exists()

    base_images.ensure_image(image(server), target, scope=Scope(OWN_TAG))

    assert target.read_bytes() == DATA
    assert not target.with_name(f"{target.name}.part").exists()
