"""Compare what the code says with a file that people review.

`golden(actual, path)` fails when they differ; `pytest --regenerate` writes the file
instead, and the change is reviewed as a diff. Fixture `golden` in conftest.py.
"""

from collections.abc import Callable
from pathlib import Path

import pytest

DATA = Path(__file__).parent / "data"
Golden = Callable[[str, Path], None]


def golden_checker(*, regenerate: bool) -> Golden:
    """Return the comparison, or the writer when files are to be made anew."""

    def compare(actual: str, path: Path) -> None:
        if not actual.endswith("\n"):
            actual += "\n"
        if regenerate:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(actual, encoding="utf-8")
            return
        if not path.is_file():
            pytest.fail(f"{path.name} is missing; run pytest --regenerate, review it")
        assert actual == path.read_text(encoding="utf-8"), path.name

    return compare
