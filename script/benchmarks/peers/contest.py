"""Which peers run here, and how long each takes; those that cannot say why."""

from collections.abc import Callable, Sequence
from pathlib import Path

from benchmarks.peers.site import CannotRun, PeerGuest, Site
from benchmarks.peers.tools import Peer


class Peers:
    """The peers that can run here; one that fails is not tried again."""

    def __init__(self, site: Site, candidates: Sequence[Peer]) -> None:
        self.site = site
        self.ready = list(candidates)

    def prepare(
        self, image: Path, guests: Sequence[PeerGuest], *, should_install: bool
    ) -> None:
        """Keep the peers that are there; install them first where that is wanted.

        Nothing is prepared on the host where none is there.
        """
        if should_install:
            self._keep(lambda peer: peer.install())
        self._keep(lambda peer: peer.find())
        if self.ready:
            self.site.prepare(image, guests)
            self._keep(lambda peer: peer.prepare())

    def _keep(self, action: Callable[[Peer], None]) -> None:
        for peer in tuple(self.ready):
            try:
                action(peer)
            except CannotRun as exc:
                self._drop(peer, exc)

    def seconds(self, guests: Sequence[PeerGuest]) -> dict[str, float]:
        """Let each bring the guests up, and delete them; return seconds by title."""
        found: dict[str, float] = {}
        for peer in tuple(self.ready):
            try:
                found[peer.title] = self.site.timed(peer.create(guests), guests)
            except CannotRun as exc:
                self._drop(peer, exc)
            peer.delete()
            self.site.sweep()
        return found

    def _drop(self, peer: Peer, reason: CannotRun) -> None:
        print(f"  not timed: {peer.title}: {reason}")
        self.ready.remove(peer)
