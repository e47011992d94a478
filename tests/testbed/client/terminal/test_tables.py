"""Lists whose words others wrote, as programs read them."""

import pytest

from testbed.client.terminal.tables import print_table


def test_tab_within_a_cell_makes_no_other_cell(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A commit's subject would be read as the status beside it."""
    rows = [(7, "failed", "Fix\tsucceeded\n8")]

    print_table(("Fetch", "Status", "Subject"), rows, empty="None.")

    assert capsys.readouterr().out == "7\tfailed\tFix succeeded␊8\n"
