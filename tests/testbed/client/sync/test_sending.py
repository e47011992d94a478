"""Files are taken from the server into the folder, and nowhere else."""

from hashlib import sha256
from pathlib import Path

import httpx
import pytest

from orchestration.errors import PathOutside, TestbedError
from testbed.client.rest.server import Server
from testbed.client.sync.decide import decide
from testbed.client.sync.sending import apply, take


def server(play) -> Server:
    return Server("http://lab", "tb_x", transport=httpx.MockTransport(play))


TAG = sha256(b"theirs").hexdigest()


def stored(request: httpx.Request) -> httpx.Response:
    return httpx.Response(200, content=b"theirs", headers={"ETag": f'"{TAG}"'})


def test_file_of_the_server_replaces_the_folders_and_keeps_its_mode(
    tmp_path: Path,
) -> None:
    file, base = tmp_path / "scripts" / "a.sh", {}
    file.parent.mkdir()
    file.write_text("mine")
    file.chmod(0o755)

    take(server(stored), "olive/lab", tmp_path, "scripts/a.sh", base)

    assert file.read_bytes() == b"theirs"
    assert file.stat().st_mode & 0o777 == 0o755
    assert base == {"scripts/a.sh": TAG}


def test_file_that_arrives_otherwise_replaces_nothing(tmp_path: Path) -> None:
    def broken(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, content=b"their", headers={"ETag": f'"{TAG}"'})

    (tmp_path / "a").write_text("mine")

    with pytest.raises(TestbedError, match="did not arrive as it is on the server"):
        take(server(broken), "olive/lab", tmp_path, "a", {})

    assert [one.name for one in tmp_path.iterdir()] == ["a"]
    assert (tmp_path / "a").read_text() == "mine"


@pytest.mark.parametrize("path", ["../a", "/etc/passwd", "link/a"])
def test_no_file_is_written_outside_the_folder(tmp_path: Path, path: str) -> None:
    folder, outside = tmp_path / "lab", tmp_path / "outside"
    folder.mkdir()
    outside.mkdir()
    (folder / "link").symlink_to(outside)

    with pytest.raises(PathOutside):
        take(server(stored), "olive/lab", folder, path, {})
    assert list(outside.iterdir()) == []


def test_copy_that_was_edited_while_others_were_sent_is_not_overwritten(
    tmp_path: Path,
) -> None:
    def play(request: httpx.Request) -> httpx.Response:
        if request.url.path.endswith("/b"):
            return httpx.Response(412, json={"detail": "It was changed."})
        return httpx.Response(200, json={"etag": '"new"'})

    for name in ("a", "b", "c"):
        (tmp_path / name).write_text(name)
    base = {"gone": "old"}
    decision = decide(dict.fromkeys("abc", "new"), {}, base)

    late = apply(
        server(play), "olive/lab", tmp_path, decision, base, lambda verb, path: None
    )

    assert [one.path for one in late] == ["b"]
    assert base == {"a": "new", "c": "new"}
