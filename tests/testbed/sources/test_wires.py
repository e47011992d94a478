"""Fetches over real ssh and real https on loopback, as the account that workers use."""

import shutil
import tempfile
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

import pytest

from orchestration.transport.ssh.first_contact import host_key_of
from testbed.models import Fetch, Host, Source, Testbed
from testbed.sources.changes import (
    ask_for_fetch,
    confirm_key,
    forget_key,
    set_source,
    source_of,
)
from testbed.sources.fetching import fetch_once
from testbed.sources.git import USUAL, FetchFailed, Rules, fetch_commit
from testbed.sources.places import place_of
from tests.testbed.conftest import YAML
from tests.testbed.sources.repositories import Forge
from tests.testbed.sources.wires import (
    BACKEND,
    SSHD,
    SshForge,
    free_port,
    https_forge,
    is_root,
    ssh_forge,
)

LOOPBACK = IPv4Network("127.0.0.0/8")
HERE = IPv4Address("127.0.0.1")
pytestmark = pytest.mark.skipif(
    not (is_root() and Path(SSHD).exists() and Path(BACKEND).exists()),
    reason="needs root, sshd and git-http-backend",
)


@pytest.fixture(autouse=True)
def allowed(settings: object, tmp_path: Path) -> None:
    settings.GIT_NETWORKS = (LOOPBACK,)
    settings.RUNTIME_DIR = tmp_path / "runtime"
    settings.RUNTIME_DIR.mkdir()


@pytest.fixture
def sshd(tmp_path: Path) -> Iterator[SshForge]:
    with ssh_forge(tmp_path / "sshd") as found:
        yield found


@pytest.fixture
def by_ssh(testbed: Testbed, forge: Forge, sshd: SshForge) -> Source:
    """A source over ssh that a user set, whose deploy key the forge knows."""
    url = f"ssh://root@localhost:{sshd.port}{forge.folder}"
    set_source(testbed, testbed.owner, url, "main", "")
    source = source_of(testbed)
    assert source is not None
    sshd.allow(source.public_key)
    return source


def fetched(testbed: Testbed, rules: Rules = USUAL) -> Fetch:
    row = ask_for_fetch(testbed, testbed.owner)
    fetch_once(row.pk, rules)
    row.refresh_from_db()
    return row


def confirmed(testbed: Testbed) -> Fetch:
    """Fetch once to see the host key, confirm it, and do the fetch that this asks for."""
    assert "not confirmed" in fetched(testbed).said
    source = source_of(testbed)
    assert source is not None
    fingerprint = host_key_of(source.seen_key).fingerprint
    confirm_key(testbed, testbed.owner, fingerprint)
    row = Fetch.objects.first()
    assert row is not None
    fetch_once(row.pk)
    row.refresh_from_db()
    return row


def test_source_over_ssh_is_fetched_after_its_host_key_was_confirmed(
    by_ssh: Source, testbed: Testbed, forge: Forge
):
    found = confirmed(testbed)

    assert found.status == Fetch.Status.SUCCEEDED, found.said
    assert (testbed.project.files / "setup.sh").read_text() == "echo 1\n"
    commit = forge.commit({"kvm-compose.yaml": YAML, "setup.sh": "echo 2\n"})
    assert fetched(testbed).commit == commit
    assert (testbed.project.files / "setup.sh").read_text() == "echo 2\n"


def test_other_host_key_is_refused_until_it_is_forgotten(
    by_ssh: Source, testbed: Testbed, sshd: SshForge, tmp_path: Path
):
    confirmed(testbed)
    old = source_of(testbed)
    with ssh_forge(tmp_path / "other") as other:
        other.allow(by_ssh.public_key)
        url = by_ssh.url.replace(str(sshd.port), str(other.port))
        Source.objects.update(url=url)  # the same server, as the pinned key says
        found = fetched(testbed)

        assert found.status == Fetch.Status.FAILED
        assert "another host key" in found.said
        forget_key(testbed, testbed.owner)
        assert "not confirmed" in fetched(testbed).said
        new = source_of(testbed)
        assert old is not None
        assert new is not None
        assert new.seen_key != old.host_key


def test_deploy_key_that_the_forge_does_not_know_is_named(
    by_ssh: Source, testbed: Testbed, sshd: SshForge
):
    (sshd.folder / "allowed").write_text("")

    found = confirmed(testbed)

    assert "does not know the deploy key" in found.said


def test_repository_that_the_deploy_key_may_not_read_is_named(
    by_ssh: Source, testbed: Testbed, sshd: SshForge
):
    sshd.refuse(by_ssh.public_key, "FATAL: R any lab key DENIED by fallthru")

    found = confirmed(testbed)

    assert found.said.startswith("The forge has no such repository, or does not let")


def test_forge_over_ssh_that_is_down_is_named(by_ssh: Source, testbed: Testbed):
    confirmed(testbed)
    Source.objects.update(url=f"ssh://root@localhost:{free_port()}/forge.git")

    assert "does not answer at this port" in fetched(testbed).said


def test_private_key_and_folder_are_gone_after_a_fetch(
    by_ssh: Source, testbed: Testbed, monkeypatch: pytest.MonkeyPatch
):
    folder = Path(tempfile.mkdtemp(prefix="of-git-"))
    folder.chmod(0o755)
    monkeypatch.setattr(tempfile, "tempdir", str(folder))

    assert confirmed(testbed).status == Fetch.Status.SUCCEEDED
    assert [*folder.glob("testbed-*")] == []
    shutil.rmtree(folder)


@pytest.fixture
def web(tmp_path: Path, forge: Forge) -> Iterator[tuple[str, Rules, list[str]]]:
    """A forge over https: its address, rules that know its certificate, and its log."""
    with https_forge(tmp_path, tmp_path / "tls") as (port, certificate, asked):
        public = Path(tempfile.mkdtemp(prefix="of-tls-"))
        public.chmod(0o755)
        shutil.copy(certificate, public / "ca.pem")
        (public / "ca.pem").chmod(0o644)
        yield f"https://localhost:{port}", Rules(ca_file=str(public / "ca.pem")), asked
        shutil.rmtree(public)


def test_source_over_https_is_fetched(
    web: tuple[str, Rules, list[str]], testbed: Testbed
):
    base, rules, _ = web
    set_source(testbed, testbed.owner, f"{base}/forge.git", "main", "")

    found = fetched(testbed, rules)

    assert found.status == Fetch.Status.SUCCEEDED, found.said
    assert (testbed.project.files / "setup.sh").read_text() == "echo 1\n"


def test_certificate_that_is_not_known_is_refused(
    web: tuple[str, Rules, list[str]], testbed: Testbed
):
    set_source(testbed, testbed.owner, f"{web[0]}/forge.git", "main", "")

    found = fetched(testbed)

    assert found.status == Fetch.Status.FAILED
    assert "certificate" in found.said


def test_redirect_is_not_followed(web: tuple[str, Rules, list[str]], testbed: Testbed):
    base, rules, asked = web
    set_source(testbed, testbed.owner, f"{base}/moved/forge.git", "main", "")

    found = fetched(testbed, rules)

    assert found.status == Fetch.Status.FAILED
    assert [path for path in asked if not path.startswith("/moved/")] == []
    assert found.said.startswith("The address leads to another one.")


def test_words_of_the_server_are_not_taken_for_gits_own(
    web: tuple[str, Rules, list[str]], testbed: Testbed
):
    base, rules, _ = web
    set_source(testbed, testbed.owner, f"{base}/lying/forge.git", "main", "")

    found = fetched(testbed, rules)

    assert found.said.startswith("git failed: fatal: remote error: Host key")


def test_forge_that_is_down_is_named(testbed: Testbed):
    url = f"https://localhost:{free_port()}/forge.git"
    set_source(testbed, testbed.owner, url, "main", "")

    assert "does not answer at this port" in fetched(testbed).said


def test_repository_that_asks_for_a_password_is_named(
    web: tuple[str, Rules, list[str]], testbed: Testbed
):
    base, rules, _ = web
    set_source(testbed, testbed.owner, f"{base}/private/forge.git", "main", "")

    assert "is not public" in fetched(testbed, rules).said


def test_name_is_not_resolved_again_by_git(web: tuple[str, Rules, list[str]]):
    """git calls the judged address, whatever the name leads to by then."""
    base, rules, asked = web
    place = place_of(f"{base.replace('localhost', 'no-such-name.invalid')}/forge.git")

    with pytest.raises(FetchFailed, match=r"certificate|SSL"):
        fetch_commit(place, HERE, "main", "", None, rules)

    assert asked == []  # it came to this server, whose certificate has another name


def test_host_of_the_lab_is_not_called(testbed: Testbed, settings: object):
    settings.GIT_NETWORKS = (IPv4Network("10.0.0.0/8"),)
    Host.objects.create(name="b", address="10.9.8.7")
    set_source(testbed, testbed.owner, "https://10.9.8.7/forge.git", "main", "")

    row = fetch_once(ask_for_fetch(testbed, testbed.owner).pk)

    assert row is not None
    assert row.said.startswith("Its name leads to a host of this lab.")


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
def test_address_in_the_lab_is_not_called(
    web: tuple[str, Rules, list[str]], testbed: Testbed, settings: object, host: str
):
    settings.GIT_NETWORKS = ()
    base, rules, asked = web
    url = f"{base.replace('localhost', host)}/forge.git"
    set_source(testbed, testbed.owner, url, "main", "")

    found = fetched(testbed, rules)

    assert "not public" in found.said
    assert "TESTBED_GIT_NETWORKS" in found.said
    assert asked == []
