"""Commands about what Olive has: images, SSH keys, reservations and limits."""

import json
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from django.contrib.auth.models import Group, User

from orchestration.project.keys import generate_key_pair
from testbed.access.tokens import make_token
from testbed.models import (
    ApiToken,
    GroupManager,
    Host,
    Notification,
    Reservation,
    Run,
    SavedImage,
    Testbed,
    UserKey,
)
from testbed.models.notifications.choices import Kind
from tests.testbed.client.terminal.conftest import Testbed as Command
from tests.testbed.conftest import HOUR, Reserved

pytestmark = pytest.mark.django_db(transaction=True)
Capture = pytest.CaptureFixture[str]


@pytest.fixture
def image(owner: User, settings, tmp_path: Path) -> SavedImage:
    """Olive's image, which is ready."""
    settings.RUNTIME_DIR = tmp_path / "runtime"
    return SavedImage.objects.create(
        name="mine",
        owner=owner,
        sha256="a" * 64,
        size_bytes=2048,
        file="a.qcow2",
        account="ubuntu",
        has_cloud_init=True,
        origin="lab/web",
    )


@pytest.fixture
def public_key(folder: Path) -> Path:
    """A file with a public key."""
    file = folder / "id.pub"
    file.write_text(generate_key_pair("olive@laptop").public_line)
    return file


def test_images_are_listed_and_an_own_one_is_deleted_with_yes(
    signed_in: Command, image: SavedImage, capsys: Capture
) -> None:
    assert signed_in("images", "list") == 0
    assert capsys.readouterr().out == "mine\tolive\t2.0 KiB\tno\n"
    assert signed_in("images", "list", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert [one["name"] for one in found["items"]] == ["mine"]
    assert found["installed"]

    assert signed_in("images", "delete", "none") == 3
    assert "There is no image none of olive." in capsys.readouterr().err
    assert signed_in("images", "delete", "mine") == 3
    assert "Add --yes" in capsys.readouterr().err
    assert SavedImage.objects.kept().exists()
    assert signed_in("images", "delete", "mine", "--yes", "--json") == 0
    assert json.loads(capsys.readouterr().out) == {"deleted": "mine", "owner": "olive"}
    assert not SavedImage.objects.kept().exists()


def test_image_of_a_guest_that_is_not_there_is_refused(
    signed_in: Command, generated: Testbed, capsys: Capture
) -> None:
    words = ("images", "save", "none", "mine", "--project-name", "lab")

    assert signed_in(*words) == 3
    assert capsys.readouterr().err.startswith("Error: ")
    assert not Run.objects.exists()


def test_key_is_added_listed_and_removed_by_its_name(
    signed_in: Command, public_key: Path, capsys: Capture
) -> None:
    assert signed_in("ssh-keys", "add", "id.pub", "--name", "laptop") == 0
    assert signed_in("ssh-keys", "add", "id.pub") == 3
    capsys.readouterr()

    assert signed_in("ssh-keys", "list") == 0
    row = UserKey.objects.get()
    shown = f"{row.pk}\tlaptop\t{row.kind}\t{row.fingerprint}\n"
    assert capsys.readouterr().out == shown
    assert signed_in("ssh-keys", "remove", "none") == 3
    assert signed_in("ssh-keys", "remove", "laptop", "--json") == 0
    assert json.loads(capsys.readouterr().out) == {"removed": row.pk}
    assert not UserKey.objects.exists()


def test_two_keys_of_one_name_are_removed_by_their_numbers(
    signed_in: Command, public_key: Path, capsys: Capture
) -> None:
    assert signed_in("ssh-keys", "add", "id.pub", "--name", "same") == 0
    public_key.write_text(generate_key_pair("").public_line)
    assert signed_in("ssh-keys", "add", "id.pub", "--name", "same") == 0

    assert signed_in("ssh-keys", "remove", "same") == 3
    assert "You have several keys same." in capsys.readouterr().err
    number = UserKey.objects.order_by("pk").values_list("pk", flat=True)[0]
    assert signed_in("ssh-keys", "remove", str(number)) == 0
    assert UserKey.objects.count() == 1


def test_private_key_is_not_sent(
    signed_in: Command, folder: Path, capsys: Capture
) -> None:
    (folder / "id").write_text("-----BEGIN OPENSSH PRIVATE KEY-----\n")

    assert signed_in("ssh-keys", "add", "id") == 2
    assert "Nothing was sent." in capsys.readouterr().err
    assert signed_in("ssh-keys", "add", "none") == 2


@pytest.fixture
def begin(hosts: tuple[Host, Host], doors: object) -> datetime:
    """An hour that comes, in UTC, in which hosts of 8 vCPUs are free."""
    Host.objects.update(vcpu_overcommit=1)
    return datetime.now(UTC).replace(minute=0) + timedelta(hours=2)


def make(signed_in: Command, begin: datetime, *more: str) -> int:
    times = [f"{at:%Y-%m-%dT%H:%M}" for at in (begin, begin + HOUR)]
    amounts = ("--vcpus", "2", "--memory-mib", "2048", "--utc", "--host", "host-b")
    return signed_in("reservations", "make", *times, *amounts, *more)


def shown(at: datetime) -> str:
    return f"{at.astimezone():%Y-%m-%d %H:%M %Z}"


def test_reservation_is_made_listed_and_cancelled(
    signed_in: Command, begin: datetime, capsys: Capture
) -> None:
    assert make(signed_in, begin, "--purpose", "lesson 3") == 0
    row = Reservation.objects.get()
    times = f"{shown(begin)}\t{shown(begin + HOUR)}"
    line = f"{row.pk}\thost-b\t2\t2 GiB\t{times}\tto come\tolive"
    said = capsys.readouterr()
    assert said.out == f"{line}\n"
    assert said.err == f"Reservation {row.pk} was made.\n"

    week = ("--week", f"{begin:%G-W%V}")
    assert signed_in("reservations", "list", *week, "-o", "wide") == 0
    assert capsys.readouterr().out.startswith(f"{line}\tlesson 3\t")
    assert signed_in("reservations", "list", *week, "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["week"], len(found["items"])) == (week[1], 1)
    assert {host["host"] for host in found["hosts"]} >= {"host-b"}

    assert signed_in("reservations", "cancel", str(row.pk), "--json") == 0
    assert json.loads(capsys.readouterr().out)["state"] == "cancelled"
    row.refresh_from_db()
    assert row.cancelled_at is not None


def test_times_with_an_offset_are_shown_in_the_terminals_own_zone(
    signed_in: Command, begin: datetime, capsys: Capture
) -> None:
    there = begin.astimezone(timezone(timedelta(hours=5)))
    times = [f"{at:%Y-%m-%dT%H:%M}+05:00" for at in (there, there + HOUR)]
    amounts = ("--vcpus", "2", "--memory-mib", "2048")

    assert signed_in("reservations", "make", *times, *amounts) == 0

    assert f"\t{shown(begin)}\t" in capsys.readouterr().out


def test_reservation_that_is_not_possible_is_refused(
    signed_in: Command,
    begin: datetime,
    member: User,
    reserved: Reserved,
    capsys: Capture,
) -> None:
    assert make(signed_in, begin, "--for", "ada") == 3
    assert "you may not reserve for it" in capsys.readouterr().err
    assert make(signed_in, begin - 9 * HOUR) == 3
    assert "is in the past" in capsys.readouterr().err
    assert signed_in("reservations", "make", "now", "then") == 2

    other = reserved(member, "host-b", purpose="secret")
    capsys.readouterr()
    assert signed_in("reservations", "cancel", str(other.pk)) == 3
    assert f"There is no reservation {other.pk} of yours." in capsys.readouterr().err
    assert signed_in("reservations", "list") == 0
    assert capsys.readouterr().out.endswith("\tanother user\n")


def test_limits_of_the_user_and_of_a_testbed_are_shown(
    signed_in: Command, testbed: Testbed, capsys: Capture
) -> None:
    assert signed_in("quota") == 0
    rows = [line.split("\t") for line in capsys.readouterr().out.splitlines()]
    assert ["Guests", "0"] in [row[:2] for row in rows]
    assert signed_in("quota", "--json") == 0
    assert set(json.loads(capsys.readouterr().out)) == {"quota", "items"}
    assert signed_in("quota", "lab", "--json") == 0
    assert json.loads(capsys.readouterr().out)["account"] == "olive"
    assert signed_in("quota", "none") == 3
    assert "There is no testbed olive/none" in capsys.readouterr().err


def test_reservation_is_changed_where_it_is_named(
    signed_in: Command, begin: datetime, capsys: Capture
) -> None:
    assert make(signed_in, begin) == 0
    number = str(Reservation.objects.get().pk)
    capsys.readouterr()

    assert signed_in("reservations", "change", number) == 2
    assert signed_in("reservations", "change", "99999", "--vcpus", "1") == 3
    assert "There is no reservation 99999 of yours." in capsys.readouterr().err
    until = f"{begin + 2 * HOUR:%Y-%m-%dT%H:%M}"
    words = ("--until", until, "--utc", "--purpose", "lesson 4")
    assert signed_in("reservations", "change", number, *words) == 0
    assert "was changed." in capsys.readouterr().err
    row = Reservation.objects.get()
    assert (row.purpose, row.ends_at - row.begins_at) == ("lesson 4", 2 * HOUR)
    assert row.vcpus == 2


def test_group_is_listed_and_its_manager_changes_its_members(
    signed_in: Command, owner: User, member: User, capsys: Capture
) -> None:
    group = Group.objects.create(name="course")
    GroupManager.objects.create(group=group, user=owner)

    assert signed_in("groups", "list") == 0
    assert capsys.readouterr().out == "course\tolive\n"
    assert signed_in("groups", "add", "course", "mark") == 0
    said = capsys.readouterr()
    assert said.err == "mark is a member of course.\n"
    assert said.out == "group: course\nmanagers: olive\nmembers: mark\n"
    assert signed_in("groups", "add", "course", "nemo") == 3
    assert signed_in("groups", "remove", "course", "mark", "--json") == 0
    assert json.loads(capsys.readouterr().out)["members"] == []
    assert signed_in("groups", "info", "none") == 3
    assert "There is no group none" in capsys.readouterr().err


def test_notifications_are_listed_read_and_their_ways_chosen(
    signed_in: Command, owner: User, capsys: Capture
) -> None:
    row = Notification.objects.create(user=owner, kind=Kind.RUN_ENDED, title="Up ended")

    assert signed_in("notifications", "list", "--unread") == 0
    assert capsys.readouterr().out.split("\t")[2:] == ["Up ended", "no\n"]
    assert signed_in("notifications", "read", "--json") == 0
    assert json.loads(capsys.readouterr().out) == {"read": 1}
    row.refresh_from_db()
    assert row.read_at is not None
    assert signed_in("notifications", "list", "--unread") == 0
    assert "There is no notification." in capsys.readouterr().err

    kind = str(Kind.RUN_ENDED)
    assert signed_in("notifications", "ways", kind) == 2
    assert signed_in("notifications", "ways", "none", "--by", "mail") == 2
    assert signed_in("notifications", "ways", kind, "--by", "mail") == 0
    assert f"{kind}\tmail\n" in capsys.readouterr().out
    assert signed_in("notifications", "ways", kind, "--none", "--json") == 0
    assert json.loads(capsys.readouterr().out)["ways"][kind] == []
    assert signed_in("notifications", "deliveries") == 0


def test_tokens_are_listed_and_revoked_by_name_and_number(
    signed_in: Command, owner: User, capsys: Capture
) -> None:
    row, _ = make_token(owner, "ci", ("run",), 7)

    assert signed_in("tokens", "list") == 0
    line = f"{row.pk}\tci\t{row.prefix}\tread run\t"
    assert line in capsys.readouterr().out
    assert signed_in("tokens", "revoke", "none") == 3
    assert "You have no token none." in capsys.readouterr().err
    assert signed_in("tokens", "revoke", "ci", "--json") == 0
    assert json.loads(capsys.readouterr().out) == {"revoked": row.pk}
    assert [one.name for one in ApiToken.objects.all()] == ["laptop"]


def test_logout_ends_the_token_on_the_server_when_it_is_asked_to(
    signed_in: Command, capsys: Capture
) -> None:
    assert signed_in("logout", "--revoke") == 0

    assert "is forgotten." in capsys.readouterr().err
    assert not ApiToken.objects.exists()
    assert signed_in("status") == 2
