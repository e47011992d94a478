"""The output of a serial console becomes readable text."""

from orchestration.providers.guest.console import clean, console_tail
from orchestration.transport.base import Scope
from tests.fakes import FakeTransport, Reply

RAW = (
    "\x1b[2J\x1b[1;1HSeaBIOS\r\n\x1b[0;32m  OK  \x1b[0m] Started \x1b]0;title\x07ssh\r\n"
    "\x00\x07login: \x1b(B\r\n\r\n"
)


def test_escapes_and_controls_are_taken_out():
    assert clean(RAW) == "SeaBIOS\n  OK  ] Started ssh\nlogin:"


def test_only_the_last_lines_are_shown_and_root_reads_them():
    text = "".join(f"line {n}\r\n" for n in range(100))
    host = FakeTransport("host-a", [("tail -c 65536 /c/web.log", text)])

    tail = console_tail(host, "/c/web.log", lines=3, scope=Scope())

    assert tail == "line 97\nline 98\nline 99"
    assert host.calls[0].as_root


def test_missing_console_is_empty():
    host = FakeTransport("host-a", [("tail -c 65536 /none", Reply(exit_code=1))])

    assert console_tail(host, "/none", scope=Scope()) == ""
