"""Small JSON files under a lock, which all processes of this machine share.

Used where a bound has to hold for all workers together: boots of a host, failed
logins. A ledger is written only when it changed, and not when the block fails.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from orchestration.locks import held

_MAX_BYTES = 4 * 1024 * 1024
Ledger = TypeVar("Ledger", bound=BaseModel)


@contextmanager
def opened(path: Path, kind: type[Ledger]) -> Iterator[Ledger]:
    """Lock a ledger and yield it; write its changes at the end.

    `kind()` is an empty ledger. A new file, or one whose writer died, is empty.
    """
    with held(path) as descriptor:
        text = os.pread(descriptor, _MAX_BYTES, 0)
        ledger = _parsed(text, kind)
        yield ledger
        written = ledger.model_dump_json().encode()
        if written != text:
            os.pwrite(descriptor, written, 0)
            os.ftruncate(descriptor, len(written))


def _parsed(text: bytes, kind: type[Ledger]) -> Ledger:
    try:
        return kind.model_validate_json(text)
    except ValidationError:
        return kind()
