"""Keeps the findings of the last checks, for as long as a new check would find the same.

A check of 1,000 machines takes 0.2 s, and a page of the web asks for the same one again
and again. Its findings follow from its arguments and from the answers of `Files` alone.
So the arguments are compared, and each question to the files is asked once more: a kept
result is used only where all are as they were.
"""

from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from threading import Lock

from orchestration.compose.catalogue import Catalogue
from orchestration.compose.check import check
from orchestration.compose.files import HEAD_BYTES, Files
from orchestration.compose.pools import Ranges
from orchestration.compose.rules.hosts import KnownHost
from orchestration.errors import Finding

MOST_CHECKS = 32
# A check that asks more about files is made anew each time.
MOST_QUESTIONS = 2_000
Answer = bool | int | bytes


@dataclass(frozen=True, slots=True)
class Given:
    """The arguments of a check besides its files; those of `check`, and as there."""

    text: bytes
    catalogue: Catalogue
    testbed_name: str
    network_cards: Sequence[str] | None
    ranges: Ranges
    hosts: Sequence[KnownHost]


class KeptFindings:
    """The findings of the last checks; threads may share it."""

    def __init__(
        self, most_checks: int = MOST_CHECKS, most_questions: int = MOST_QUESTIONS
    ) -> None:
        self._most_checks = most_checks
        self._most_questions = most_questions
        self._kept: OrderedDict[bytes, _Check] = OrderedDict()
        self._lock = Lock()

    def of(
        self, given: Given, files: Files, image_folders: Sequence[Files]
    ) -> tuple[Finding, ...]:
        """Return the findings of a text, kept ones where they are still right."""
        places = (files, *image_folders)
        key = sha256(given.testbed_name.encode() + b"\0" + given.text).digest()
        with self._lock:
            kept = self._kept.get(key)
        if kept is None or not kept.is_right(given, places):
            kept = _checked(given, places)
            self._keep(key, kept)
        return kept.findings

    def _keep(self, key: bytes, made: "_Check") -> None:
        with self._lock:
            self._kept.pop(key, None)
            if sum(len(asked.answers) for asked in made.asked) <= self._most_questions:
                self._kept[key] = made
            while len(self._kept) > self._most_checks:
                self._kept.popitem(last=False)


@dataclass(slots=True)
class _Asked:
    """`Files` that keeps each question with its answer; contents by their digests."""

    files: Files
    answers: dict[tuple[str, str, int], Answer] = field(default_factory=dict)

    def inside(self, path: str) -> bool:
        return self._ask("inside", path, self.files.inside(path))

    def exists(self, path: str) -> bool:
        return self._ask("exists", path, self.files.exists(path))

    def is_file(self, path: str) -> bool:
        return self._ask("is_file", path, self.files.is_file(path))

    def is_folder(self, path: str) -> bool:
        return self._ask("is_folder", path, self.files.is_folder(path))

    def size_bytes(self, path: str, *, at_most: int) -> int:
        size = self.files.size_bytes(path, at_most=at_most)
        self.answers["size_bytes", path, at_most] = size
        return size

    def head(self, path: str, size: int = HEAD_BYTES) -> bytes:
        found = self.files.head(path, size)
        self.answers["head", path, size] = sha256(found).digest()
        return found

    def _ask(self, question: str, path: str, answer: bool) -> bool:
        self.answers[question, path, 0] = answer
        return answer


@dataclass(frozen=True, slots=True)
class _Check:
    """One check: its arguments, the answers of each folder, and its findings."""

    given: Given
    asked: tuple[_Asked, ...]
    findings: tuple[Finding, ...]

    def is_right(self, given: Given, places: Sequence[Files]) -> bool:
        """Return whether a check with these arguments and folders finds the same."""
        return (
            len(places) == len(self.asked)
            and given == self.given
            and all(
                _answers(place, asked.answers) == asked.answers
                for place, asked in zip(places, self.asked, strict=True)
            )
        )


def _answers(
    files: Files, questions: Mapping[tuple[str, str, int], Answer]
) -> dict[tuple[str, str, int], Answer]:
    """Ask each question again."""
    again: dict[str, Callable[[str, int], Answer]] = {
        "inside": lambda path, _: files.inside(path),
        "exists": lambda path, _: files.exists(path),
        "is_file": lambda path, _: files.is_file(path),
        "is_folder": lambda path, _: files.is_folder(path),
        "size_bytes": lambda path, most: files.size_bytes(path, at_most=most),
        "head": lambda path, size: sha256(files.head(path, size)).digest(),
    }
    return {one: again[one[0]](one[1], one[2]) for one in questions}


def _checked(given: Given, places: Sequence[Files]) -> _Check:
    asked = tuple(map(_Asked, places))
    findings = check(
        given.text,
        files=asked[0],
        catalogue=given.catalogue,
        testbed_name=given.testbed_name,
        image_folders=asked[1:],
        network_cards=given.network_cards,
        ranges=given.ranges,
        hosts=given.hosts,
    ).findings
    return _Check(given, asked, findings)
