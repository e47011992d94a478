"""The figures of charts in words, as short as a telephone's table needs them."""

import pytest

from testbed.samples.charts import UNITS, Chart, DrawnChart


@pytest.mark.parametrize(
    ("unit", "value", "words"),
    [
        ("bytes", 0, "0 B"),
        ("bytes", 9.5 * 2**20, "9.5 MiB"),
        ("bytes", 64 * 2**30, "64 GiB"),
        ("bytes/s", 243.4 * 2**10, "243 KiB/s"),
        ("number", 1.5, "1.50"),
        ("percent", 2.04, "2.0 %"),
    ],
)
def test_figures_have_no_needless_digits(unit: str, value: float, words: str):
    assert UNITS[unit](value) == words


def test_limit_of_a_load_is_a_whole_number_of_cpus():
    assert DrawnChart(Chart("Load", "number", (), 16), ()).limit == "16"
