"""An installation that mails links, over real SMTP of this machine."""

import re
from collections.abc import Callable, Iterator
from email import message_from_string

import pytest

from testbed import tasks
from testbed.celery import MAIL_REGISTRATION, MAIL_RESET, app
from tests.testbed.mail_server import mail_server

ORIGIN = "https://lab.example"
TASKS = {MAIL_RESET: tasks.mail_reset, MAIL_REGISTRATION: tasks.mail_registration}
Link = Callable[[], str]


@pytest.fixture
def mails(settings: object, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """The mails that came; a message to a worker is worked on at once."""

    def work(name: str, args: tuple[str, ...] = (), **options: object) -> None:
        TASKS[name](*args)

    monkeypatch.setattr(app, "send_task", work)
    settings.CSRF_TRUSTED_ORIGINS = [ORIGIN]
    with mail_server(settings) as found:
        yield found


@pytest.fixture
def mailed_link(mails: list[str]) -> Link:
    """Return the path of the link in the newest mail."""

    def find() -> str:
        text = message_from_string(mails[-1]).get_payload()
        (path,) = re.findall(rf"^{ORIGIN}(/\S+)\s*$", text, re.MULTILINE)
        return path

    return find
