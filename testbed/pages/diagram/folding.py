"""The hosts whose guests a diagram counts instead of drawing each.

A page's address keeps the choice (`?fold=host-b,host-c`), so that a reload, a poll and
a colleague see the same; without one, very large testbeds are folded. Pure.
"""

from dataclasses import dataclass

from testbed.pages.diagram.scene import Scene

FOLD_ABOVE = 120


@dataclass(frozen=True, slots=True)
class Folding:
    """The folded ones among `hosts`; `chosen` is the address's word, None without."""

    hosts: tuple[str, ...]
    folded: frozenset[str]
    chosen: str | None = None

    def toggled(self, host: str) -> str:
        """Return the choice after a click on a host."""
        return _written(self.hosts, self.folded ^ {host})

    @property
    def query(self) -> str:
        """Return the address's end that keeps the choice; empty without one."""
        return "" if self.chosen is None else f"?fold={self.chosen}"

    @property
    def all(self) -> str:
        """Return the choice of every host."""
        return ",".join(self.hosts)

    @property
    def is_full(self) -> bool:
        """Return whether every host is folded."""
        return len(self.folded) == len(self.hosts)


def folding_of(scene: Scene, chosen: str | None) -> Folding:
    """Read the choice; names of no host of the scene are left out."""
    hosts = tuple(place.name for place in scene.places)
    if chosen is None:
        is_large = len(scene.guests) > FOLD_ABOVE
        return Folding(hosts, frozenset(hosts if is_large else ()))
    folded = frozenset(chosen.split(",")) & frozenset(hosts)
    return Folding(hosts, folded, _written(hosts, folded))


def _written(hosts: tuple[str, ...], folded: frozenset[str]) -> str:
    return ",".join(host for host in hosts if host in folded)
