"""The output of `manage.py prune_images`: one table per host, or the same as JSON."""

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from orchestration.amounts import size
from orchestration.inventory.image_uses import Verdict
from orchestration.inventory.images import Leftover, freed_bytes
from testbed.images.pruning import Choice, HostImages

DOWNLOADED = (
    "Base images that go are downloaded again when a testbed needs them, golden images "
    "are prepared again."
)
HEAD = ("image", "size", "used by", "last used", "")
Row = tuple[str, str, str, str, str]


@dataclass(frozen=True, slots=True)
class Report:
    """The images seen and deleted; `is_dry`: nothing was to be deleted yet."""

    hosts: Sequence[HostImages]
    choice: Choice
    is_dry: bool

    def chosen(self, found: HostImages) -> list[Verdict]:
        """Return the images that are to be deleted."""
        unused = (verdict for verdict in found.verdicts if verdict.is_unused)
        return [verdict for verdict in unused if self.choice(found, verdict)]

    def bytes_on(self, found: HostImages) -> int:
        """Return the bytes that were freed on a host, or would be."""
        if not self.is_dry:
            return found.freed_bytes
        leftovers = sum(left.disk_bytes for left in found.ripe)
        return freed_bytes(v.image for v in self.chosen(found)) + leftovers

    def lines(self) -> Iterator[str]:
        """Yield the report as lines of text."""
        has_any = False
        for found in self.hosts:
            yield self._title(found)
            rows = [*self._image_rows(found), *self._leftover_rows(found)]
            yield from _table([HEAD, *rows]) if rows else ()
            has_any |= any(outcome for *_, outcome in rows)
        total = sum(map(self.bytes_on, self.hosts))
        yield f"{size(total)} {'would be ' if self.is_dry else ''}freed."
        if has_any:
            yield DOWNLOADED

    def json(self) -> str:
        """Return the report as JSON."""
        hosts = [
            {
                "host": found.host.name,
                "problem": found.problem,
                "total_bytes": found.store.total_bytes,
                "free_bytes": found.store.free_bytes,
                "images": [self._image(found, v) for v in found.verdicts],
                "leftovers": [self._leftover(found, left) for left in found.ripe],
                "freed_bytes": self.bytes_on(found),
            }
            for found in self.hosts
        ]
        return json.dumps({"is_dry_run": self.is_dry, "hosts": hosts}, indent=1)

    def _title(self, found: HostImages) -> str:
        name, store = found.host.name, found.store
        if found.problem and not found.verdicts:
            return f"{name}: {found.problem} Nothing is deleted there."
        if not found.verdicts:
            return f"{name}: no images"
        space = f"{size(store.free_bytes)} of {size(store.total_bytes)} free"
        return f"{name}: {space}{'. ' * bool(found.problem)}{found.problem}"

    def _image_rows(self, found: HostImages) -> Iterator[Row]:
        for verdict in found.verdicts:
            image = verdict.image
            yield (
                image.name,
                size(image.disk_bytes),
                _users(verdict),
                _day(image.used_at),
                self._outcome(found, verdict),
            )

    def _leftover_rows(self, found: HostImages) -> Iterator[Row]:
        for left in found.ripe:
            yield (
                left.path,
                size(left.disk_bytes),
                "no user: was not finished",
                _day(left.changed_at),
                self._fate(found, left),
            )

    def _outcome(self, found: HostImages, verdict: Verdict) -> str:
        if self.is_dry:
            return "would go" if verdict in self.chosen(found) else ""
        kept = found.outcomes.get(verdict.image.name)
        if kept is None:
            return ""
        return f"stays: {kept}" if kept else "removed"

    def _fate(self, found: HostImages, left: Leftover) -> str:
        if self.is_dry:
            return "would go"
        return "removed" if left.path in found.swept else "stays"

    def _image(self, found: HostImages, verdict: Verdict) -> dict[str, object]:
        image = verdict.image
        return {
            "name": image.name,
            "kind": image.kind,
            "label": verdict.label,
            "disk_bytes": image.disk_bytes,
            "virtual_bytes": image.virtual_bytes,
            "made_at": _moment(image.made_at).isoformat(),
            "used_at": _moment(image.used_at).isoformat(),
            "used_by": [[use.testbed, use.guest] for use in verdict.uses],
            "kept": verdict.kept,
            "outcome": self._outcome(found, verdict),
        }

    def _leftover(self, found: HostImages, left: Leftover) -> dict[str, object]:
        return {
            "path": left.path,
            "disk_bytes": left.disk_bytes,
            "outcome": self._fate(found, left),
        }


def _users(verdict: Verdict) -> str:
    counts = Counter(use.testbed for use in verdict.uses if use.testbed)
    words = [f"{name} ({count})" for name, count in sorted(counts.items())]
    words += [use.guest for use in verdict.uses if not use.testbed]
    return ", ".join(words) or (
        f"unknown: {verdict.kept}" if verdict.kept else "nobody"
    )


def _table(rows: Sequence[Row]) -> Iterator[str]:
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEAD))]
    for row in rows:
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        yield f"  {'  '.join(cells)}".rstrip()


def _moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(int(seconds), UTC)


def _day(seconds: float) -> str:
    return f"{_moment(seconds):%Y-%m-%d}"
