"""A loud task costs a bounded log: its first lines, a count, and its last lines."""

from orchestration.events import Stream
from orchestration.instructions.bounded_log import (
    LAST_CHARACTERS,
    LAST_LINES,
    LINE_BYTES,
    BoundedLog,
)

TEN_LINES = 10 * (LINE_BYTES + 5)


class Told(list[tuple[Stream, str]]):
    """The lines that were told, in order."""

    def tell(self, stream: Stream, text: str) -> None:
        self.append((stream, text))

    @property
    def texts(self) -> list[str]:
        return [text for _, text in self]


def test_output_within_the_budget_is_passed_on_as_it_comes() -> None:
    told = Told()
    log = BoundedLog(told.tell, TEN_LINES)

    for number in range(10):
        log.add(Stream.STDOUT, f"{number:05}")
    log.close()

    assert told == [(Stream.STDOUT, f"{number:05}") for number in range(10)]


def test_endless_output_keeps_its_first_and_last_lines_and_is_counted() -> None:
    told = Told()
    log = BoundedLog(told.tell, TEN_LINES)

    for number in range(10_000):
        log.add(Stream.STDERR, f"{number:05}")
    told_meanwhile = len(told)
    log.close()

    assert told.texts[:10] == [f"{number:05}" for number in range(10)]
    assert "is full" in told.texts[10]
    assert told_meanwhile == 11
    assert (
        told.texts[11] == f"Cut here: {10_000 - 10 - LAST_LINES:,} lines were not kept."
    )
    assert told.texts[12:] == [f"{n:05}" for n in range(10_000 - LAST_LINES, 10_000)]
    assert told[-1] == (Stream.STDERR, "09999")


def test_few_lines_beyond_the_budget_come_late_and_whole() -> None:
    told = Told()
    log = BoundedLog(told.tell, TEN_LINES)

    for number in range(12):
        log.add(Stream.STDOUT, f"{number:05}")
    log.close()

    assert told.texts[-2:] == ["00010", "00011"]
    assert not any("Cut here" in text for text in told.texts)


def test_long_lines_are_held_within_bounds_too() -> None:
    told = Told()
    log = BoundedLog(told.tell, 0)

    for _ in range(10):
        log.add(Stream.STDOUT, "x" * (LAST_CHARACTERS // 2))
    log.close()

    assert told.texts[1] == "Cut here: 8 lines were not kept."
    assert len(told.texts[2:]) == 2


def test_engines_own_lines_are_always_kept() -> None:
    told = Told()
    log = BoundedLog(told.tell, 0)

    log.add(Stream.STDOUT, "loud")
    log.add(Stream.INFO, "waits for the guest")
    log.close()

    assert told.texts[1:] == ["waits for the guest", "loud"]
