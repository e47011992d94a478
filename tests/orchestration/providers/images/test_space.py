"""Room for files: the sentence that a user reads when there is none."""

import pytest

from orchestration.errors import NotEnoughSpace
from orchestration.providers.images.space import SPARE_BYTES, require_space

KIB = 1024


def test_small_files_are_told_in_small_units() -> None:
    with pytest.raises(NotEnoughSpace) as caught:
        require_space("a.img", "on host-b", needed_bytes=12 * KIB, free_bytes=3 * KIB)

    assert caught.value.message == (
        "There is no room for a.img on host-b: 12.0 KiB and 64.0 MiB to spare are "
        "needed, 3.0 KiB are free."
    )


def test_file_that_fits_with_the_spare_room_is_let_through() -> None:
    require_space("a.img", "on host-b", needed_bytes=1, free_bytes=SPARE_BYTES + 1)
