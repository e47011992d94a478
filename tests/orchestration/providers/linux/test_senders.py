"""The table that binds guests to their management addresses, as text."""

from orchestration.providers.linux.senders import Sender, build_senders


def test_each_sender_is_bound_to_its_tap() -> None:
    sender = Sender("t7g0im", "52:54:00:AA:BB:01", "100.64.112.16")

    text = build_senders(7, [sender]).text

    assert '"t7g0im" . 52:54:00:aa:bb:01 . 100.64.112.16' in text


def test_table_without_senders_has_no_empty_list() -> None:
    text = build_senders(7, []).text

    assert "elements" not in text
