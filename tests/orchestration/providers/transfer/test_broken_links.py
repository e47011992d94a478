"""A link that breaks while a content is sent: the next try goes on where it broke.

The host's real SSH server is killed in the middle and started again. What was lost is
never guessed: it is asked, and what could not be asked is proven later.
"""

import os

import pytest

from orchestration.errors import HostUnreachable
from orchestration.providers.transfer import receiver
from orchestration.transport.base import Scope
from tests.orchestration.providers.transfer.pushing import MIB, Push, blob_of


def test_compressed_copy_goes_on_where_the_link_broke(push, scope, quick):
    data = b"the same words again and again\n" * 600_000
    push.at = break_once(push, after=8 * MIB)

    sent = push(push.image(data), scope=scope, compressed=True).sent

    assert (push.host / "name.img").read_bytes() == data
    assert sent.wire_bytes < len(data) / 10


def test_broken_link_is_taken_up_where_it_broke(push, scope, quick):
    data = os.urandom(24 * MIB)
    push.at = break_once(push, after=16 * MIB)

    sent = push(push.image(data), scope=scope).sent

    assert (push.host / "name.img").read_bytes() == data
    assert push.stored == [blob_of(data)]
    # Under way were a channel's window, a piece and what zstd holds; not 16 MiB.
    assert len(data) < sent.wire_bytes + MIB < 32 * MIB
    (resumed,) = [line for line in push.log if line.startswith("resumed at")]
    broken = next(i for i, (step, _) in enumerate(push.steps) if step >= 16 * MIB)
    assert push.steps[broken + 1][0] > 8 * MIB
    assert f"{push.steps[broken + 1][0] / MIB:.1f} of 24.0 MiB" in resumed


def test_next_push_goes_on_where_one_was_given_up(push, scope, quick):
    data = os.urandom(24 * MIB)
    source = push.image(data)
    push.at = break_once(push, after=16 * MIB, start=False)

    with pytest.raises(HostUnreachable, match="given up") as failed:
        push(source, scope=scope)
    assert "goes on where it stopped" in failed.value.hint
    assert push.stored == [f"{blob_of(data)}.part", f"{blob_of(data)}.part.at"]
    assert not (push.host / "name.img").exists()
    push.server.start()
    push.steps.clear()
    sent = push(source, scope=Scope(f"{scope.tag}.2")).sent

    assert (push.host / "name.img").read_bytes() == data
    assert push.steps[0][0] > 8 * MIB
    assert sent.wire_bytes < 17 * MIB
    assert push.stored == [blob_of(data)]


def test_processes_unknown_after_a_broken_link_are_proven_when_it_is_back(
    push, scope, quick
):
    push.at = break_once(push, after=2 * MIB)

    push(push.image(os.urandom(8 * MIB)), scope=scope)

    assert [proof.survivors for proof in scope.ended] == [()]


class Unheard:
    """A host whose answer to a finished copy is lost, once."""

    def __init__(self, transport) -> None:
        self._transport = transport
        self.lost = False

    def __getattr__(self, name):
        return getattr(self._transport, name)

    def run(self, cmd, **options):
        completed = self._transport.run(cmd, **options)
        if receiver.FINISH in cmd.argv and not self.lost:
            self.lost = True
            raise HostUnreachable("The answer was lost.")
        return completed


def test_copy_whose_answer_was_lost_is_not_made_again(push, scope, quick):
    source = push.image(os.urandom(3 * MIB))
    host = Unheard(push.transport)

    sent = push(source, transport=host, scope=scope).sent

    assert host.lost
    assert sent.wire_bytes < 4 * MIB
    assert (push.host / "name.img").read_bytes() == source.read_bytes()


def test_broken_note_begins_anew(push, scope):
    data = os.urandom(2 * MIB)
    (push.host / ".store").mkdir()
    part = push.host / ".store" / f"{blob_of(data)}.part"
    part.write_bytes(bytes(2 * MIB))
    for note in ("", "12\n\nx", "1048576 another-layout token"):
        part.with_name(f"{part.name}.at").write_text(note)

        assert push(push.image(data), f"{len(note)}", scope=scope).sent is not None
        (push.host / ".store" / blob_of(data)).unlink()
        part.write_bytes(bytes(2 * MIB))


def break_once(push: Push, *, after: int, start: bool = True):
    """Kill the host's SSH server when so much was sent, once, and start it again."""
    broken = []

    def at(done: int, total: int) -> None:
        if done >= after and not broken:
            broken.append(done)
            push.server.kill()
            if start:
                push.server.start()

    return at
