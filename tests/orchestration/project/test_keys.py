"""Key pairs must be what OpenSSH and paramiko accept."""

import io
import shutil
import subprocess

import paramiko
import pytest

from orchestration.errors import StateError
from orchestration.project.keys import fingerprint, generate_key_pair


def test_pair_belongs_together_and_carries_its_comment():
    pair = generate_key_pair("demo-web")

    private = paramiko.Ed25519Key.from_private_key(
        io.StringIO(pair.private_openssh.decode())
    )

    kind, blob, comment = pair.public_line.split()
    assert (kind, comment) == ("ssh-ed25519", "demo-web")
    assert private.get_base64() == blob


def test_two_pairs_differ_and_do_not_show_their_private_half():
    one, two = generate_key_pair("a"), generate_key_pair("a")

    assert one.public_line != two.public_line
    assert "PRIVATE" not in repr(one)


@pytest.mark.skipif(not shutil.which("ssh-keygen"), reason="ssh-keygen not installed")
def test_fingerprint_is_what_ssh_keygen_prints(tmp_path):
    pair = generate_key_pair("demo")
    (tmp_path / "key.pub").write_text(pair.public_line)

    said = subprocess.run(
        ["ssh-keygen", "-lf", tmp_path / "key.pub"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout

    assert said.split()[1] == fingerprint(pair.public_line)


@pytest.mark.parametrize("line", ["", "ssh-ed25519", "ssh-ed25519 not*base64"])
def test_text_that_is_no_key_has_no_fingerprint(line):
    with pytest.raises(StateError, match="not a public SSH key"):
        fingerprint(line)
