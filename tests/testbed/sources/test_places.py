"""Addresses, branches and folders of repositories: plain forms pass, and no others."""

import pytest

from testbed.sources.places import SourceRefused, branch_of, folder_of, place_of


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("https://git.example.org/lab/a.git", ("https", "git.example.org", 443, "")),
        ("https://git.example.org:8443/a", ("https", "git.example.org", 8443, "")),
        (
            " ssh://git@Forge.example.org:2222/a ",
            ("ssh", "forge.example.org", 2222, "git"),
        ),
        ("git@forge.example.org:lab/a.git", ("ssh", "forge.example.org", 22, "git")),
        ("git@192.0.2.7:a.git", ("ssh", "192.0.2.7", 22, "git")),
    ],
)
def test_address_is_read(text: str, expected: tuple[str, str, int, str]):
    found = place_of(text)

    assert (found.protocol, found.host, found.port, found.user) == expected
    assert found.url == text.strip()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "--upload-pack=touch /tmp/x",
        "-oProxyCommand=x@forge:a",
        "ext::sh -c touch% /tmp/x",
        "https::https://git.example.org/a",
        "http://git.example.org/a",
        "git://git.example.org/a",
        "file:///srv/git/a.git",
        "/srv/git/a.git",
        "../a.git",
        "ssh://-oProxyCommand=x/a",
        "ssh://git@-oProxyCommand=x/a",
        "ssh://-x@git.example.org/a",
        "git@-oProxyCommand=x:a",
        "git@git.example.org:-a",
        "git@git.example.org:/a",
        "ssh://git@git.example.org/a b",
        "ssh://git@git.example.org/a'b",
        "ssh://git@git.example.org/a\nb",
        "ssh://git@git.example.org/`id`",
        "ssh://git@git.example.org/../../a",
        "https://alice:word@git.example.org/a",
        "https://alice@git.example.org/a",
        "https://git.example.org:0/a",
        "https://git.example.org:99999/a",
        "https://git.example.org",
        "https:///a",
        "https://git.example.org/a?x=1",
        "https://git.example.org/a#b",
        "https://[::1]/a",
        "ssh://git@git.example.org/a%00b",
        "ssh://git@git.example.org/a%0ab",
        "https://git.example.org\\@evil.example.org/a",
        "https://git.example.org/" + "a" * 600,
    ],
)
def test_other_address_is_refused(text: str):
    with pytest.raises(SourceRefused):
        place_of(text)


@pytest.mark.parametrize(
    "text",
    [
        "https://alice@git.example.org/a",
        "https://alice:word@git.example.org/a",
        "ssh://git:word@git.example.org/a",
    ],
)
def test_password_in_an_address_is_named(text: str):
    with pytest.raises(SourceRefused, match="has no user or password") as refusal:
        place_of(text)

    assert "deploy key" in refusal.value.hint


def test_plain_http_is_told_what_is_fetched():
    with pytest.raises(SourceRefused, match="over https or ssh"):
        place_of("http://git.example.org/a.git")


@pytest.mark.parametrize("text", ["main", "release/2.1", "feature/a_b-c", "v1+x"])
def test_branch_is_taken(text: str):
    assert branch_of(f" {text} ") == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "-x",
        "--upload-pack=x",
        "a..b",
        "a b",
        "a:b",
        "+a",
        "a^",
        "a~1",
        "a*",
        "a\\b",
        "a.lock",
        "a.lock/b",
        "a/.b",
        "a//b",
        "a/",
        "a.",
        "@{-1}",
        "a@{1}",
        "\x00",
        "a" * 201,
    ],
)
def test_other_branch_is_refused(text: str):
    with pytest.raises(SourceRefused):
        branch_of(text)


@pytest.mark.parametrize(
    ("text", "folder"),
    [("", ""), (".", ""), ("/", ""), ("labs/first/", "labs/first"), ("./a", "a")],
)
def test_folder_is_plain(text: str, folder: str):
    assert folder_of(text) == folder


@pytest.mark.parametrize("text", ["..", "a/../..", "a\\b", "a\x00", "a" * 501])
def test_other_folder_is_refused(text: str):
    with pytest.raises(SourceRefused):
        folder_of(text)
