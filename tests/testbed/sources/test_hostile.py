"""Repositories that are made to break something; each is refused in one sentence."""

import os
import socket
import subprocess
from itertools import count
from pathlib import Path
from typing import NoReturn

import pytest

from testbed.models import Fetch, Source, Testbed
from testbed.sources.changes import ask_for_fetch
from testbed.sources.fetching import fetch_once
from testbed.sources.git import FetchFailed, Rules, fetch_commit
from testbed.sources.places import Place, SourceRefused, place_of
from testbed.testbeds.stored_files import list_files
from tests.testbed.conftest import YAML
from tests.testbed.sources.conftest import LOCAL, FetchNow
from tests.testbed.sources.repositories import FILE, LINK, SUBMODULE, TREE, Forge


def refused(fetch_now: FetchNow) -> str:
    """Fetch, and return why that failed; the files here are as before."""
    found = fetch_now()
    assert found.status == Fetch.Status.FAILED, found.said
    assert list(list_files(found.testbed)) == ["kvm-compose.yaml"]
    return found.said


def with_entry(forge: Forge, mode: str, name: str, found: str = "") -> None:
    """Commit the YAML, and beside it an entry that may be odd."""
    content = found or forge.blob(b"/etc/passwd")
    entries = [(FILE, forge.blob(YAML.encode()), "kvm-compose.yaml")]
    forge.commit_tree(forge.tree([*entries, (mode, content, name)]))


def test_symbolic_link_is_refused(fetch_now: FetchNow, forge: Forge):
    with_entry(forge, LINK, "secret")

    assert "is a symbolic link" in refused(fetch_now)


def test_submodule_is_refused(fetch_now: FetchNow, forge: Forge):
    with_entry(forge, SUBMODULE, "module", "1" * 40)

    assert "is a submodule" in refused(fetch_now)


@pytest.mark.parametrize("name", [".git", ".GIT", ".git ", ".Git."])
def test_gits_own_folder_is_refused(fetch_now: FetchNow, forge: Forge, name: str):
    hooks = forge.tree([(FILE, forge.blob(b"exit"), "config")])
    with_entry(forge, TREE, name, hooks)

    assert "one of git's own" in refused(fetch_now)


@pytest.mark.parametrize("name", ["..", "a\\b", "a\x01b", "a\nb"])
def test_path_that_no_upload_may_have_is_refused(
    fetch_now: FetchNow, forge: Forge, name: str
):
    folder = forge.tree([(FILE, forge.blob(b"1"), "inside")])
    with_entry(forge, TREE, name, folder)

    refused(fetch_now)


def test_paths_that_differ_in_case_alone_are_two_files(
    fetch_now: FetchNow, forge: Forge, testbed: Testbed
):
    forge.commit({"kvm-compose.yaml": YAML, "Readme": "1", "README": "2"})

    assert fetch_now().status == Fetch.Status.SUCCEEDED
    assert list(list_files(testbed)) == ["kvm-compose.yaml", "README", "Readme"]


def test_two_spellings_of_one_path_are_refused(fetch_now: FetchNow, forge: Forge):
    forge.commit({"kvm-compose.yaml": YAML, "caf\u00e9": "1", "cafe\u0301": "2"})

    assert "two spellings" in refused(fetch_now)


def test_pointer_of_lfs_is_refused(fetch_now: FetchNow, forge: Forge):
    pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:1\nsize 9\n"
    forge.commit({"kvm-compose.yaml": YAML, "disk.qcow2": pointer})

    assert "Git LFS" in refused(fetch_now)


@pytest.mark.parametrize(
    "moment",
    [
        "253402300799 +0000",  # the end of the year 9999, which is later in Berlin
        "253402297200 -1200",
        "253402300800 +0000",
        "99999999999999 +0000",
        "1 +9900",
    ],
)
def test_commit_of_a_time_that_no_page_can_show_is_refused(
    fetch_now: FetchNow, forge: Forge, moment: str
):
    tree = forge.git("rev-parse", "main^{tree}")
    lines = f"tree {tree}\nauthor a <a@b> {moment}\ncommitter a <a@b> {moment}\n\nx\n"
    words = ("hash-object", "-t", "commit", "-w", "--literally", "--stdin")
    forge.git("update-ref", "refs/heads/main", forge.git(*words, given=lines.encode()))

    assert "has no time" in refused(fetch_now)
    assert Source.objects.get().committed_at is None


def test_repository_without_a_yaml_is_refused(fetch_now: FetchNow, forge: Forge):
    forge.commit({"readme": "1"})

    assert "no kvm-compose.yaml" in refused(fetch_now)


def test_100000_files_are_refused(fetch_now: FetchNow, forge: Forge):
    same = forge.blob(b"")
    many = forge.tree([(FILE, same, f"f{number:06}") for number in range(1000)])
    with_entry(
        forge, TREE, "many", forge.tree([(TREE, many, f"d{n:03}") for n in range(100)])
    )

    assert "more than 500 files" in refused(fetch_now)


def test_tree_that_unfolds_without_end_is_refused(fetch_now: FetchNow, forge: Forge):
    found, kind = forge.blob(b"x"), FILE
    for _ in range(10):
        found = forge.tree([(kind, found, f"d{number}") for number in range(10)])
        kind = TREE
    with_entry(forge, TREE, "bomb", found)

    refused(fetch_now)


def test_large_file_is_refused_by_its_size(fetch_now: FetchNow, forge: Forge):
    forge.commit({"kvm-compose.yaml": YAML, "zeros": bytes(65 << 20)})

    assert "more than 64 MiB" in refused(fetch_now)


def test_pack_that_is_too_large_is_refused(forge: Forge):
    rules = Rules(frozenset({"file"}), account="", most_bytes=4096)
    forge.commit({"kvm-compose.yaml": YAML, "noise": os.urandom(64 * 1024)})

    with pytest.raises((FetchFailed, SourceRefused), match="too large"):
        fetch_commit(
            place_of(forge.url, rules.protocols), None, "main", "", None, rules
        )


def test_fetch_ends_in_time(forge: Forge, tmp_path: Path):
    rules = Rules(frozenset({"file"}), account="", limit_s=0.0)

    with pytest.raises(FetchFailed, match="within 0 s"):
        fetch_commit(
            place_of(forge.url, rules.protocols), None, "main", "", None, rules
        )


def test_time_is_for_all_that_git_does_together(forge: Forge):
    rules = Rules(frozenset({"file"}), account="", limit_s=120.0)
    place, times = place_of(forge.url, rules.protocols), count(0, 50)

    with pytest.raises(FetchFailed, match="within 120 s"):
        fetch_commit(
            place, None, "main", "", None, rules, clock=lambda: float(next(times))
        )

    assert next(times) == 200  # the third command did not begin


@pytest.mark.parametrize(
    ("branch", "folder", "words"),
    [
        ("other", "", "no such branch. Push it, or correct the branch."),
        ("main", "labs", "no such folder"),
    ],
)
def test_wrong_place_is_named(
    fetch_now: FetchNow, source: Source, branch: str, folder: str, words: str
):
    Source.objects.update(branch=branch, folder=folder)

    assert words in refused(fetch_now)


def test_name_without_an_address_is_told_in_one_sentence(
    source: Source, monkeypatch: pytest.MonkeyPatch
):
    def unknown(host: str, port: int) -> NoReturn:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr("testbed.sources.fetching.resolve", unknown)
    Source.objects.update(url="https://git.example.org/a.git")
    asked = ask_for_fetch(source.testbed, source.testbed.owner)

    fetch_once(asked.pk)

    asked.refresh_from_db()
    reason = "Name or service not known. Correct it."
    assert asked.said == f"The name git.example.org has no address: {reason}"


def test_other_transport_is_refused_by_git_itself(tmp_path: Path):
    """The forms of addresses refuse it before; this is the second lock."""
    mark = tmp_path / "made"
    place = Place(f"ext::touch {mark}", "https")

    with pytest.raises(FetchFailed, match="not allowed"):
        fetch_commit(place, None, "main", "")

    assert not mark.exists()


def test_hook_of_a_repository_does_not_run(
    fetch_now: FetchNow, forge: Forge, tmp_path: Path
):
    mark = tmp_path / "ran"
    for name in ("post-checkout", "post-update", "reference-transaction", "post-merge"):
        hook = forge.folder / "hooks" / name
        hook.parent.mkdir(exist_ok=True)
        hook.write_text(f"#!/bin/sh\ntouch {mark}\n")
        hook.chmod(0o755)
    subprocess.run(["git", "config", "--list"], cwd=forge.folder, check=True)

    assert fetch_now().status == Fetch.Status.SUCCEEDED
    assert not mark.exists()


def test_texts_of_a_commit_are_plain(fetch_now: FetchNow, forge: Forge):
    forge.commit({"kvm-compose.yaml": YAML}, "red \x1b[31m" + "x" * 5000)

    found = fetch_now()

    assert "\x1b" not in found.subject
    assert len(found.subject) <= 300


def test_rules_of_the_product_take_no_file(source: Source, testbed: Testbed):
    with pytest.raises(SourceRefused):
        place_of(source.url)
    assert LOCAL.protocols == {"file"}
