import base64
import struct

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from orchestration.project.keys import generate_key_pair
from orchestration.project.public_keys import (
    MOST_COMMENT,
    KeyRefused,
    parse_public_key,
)


def openssh(key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey) -> str:
    return (
        key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()
    )


def on_security_key() -> str:
    """Return a key as `ssh-keygen -t ed25519-sk` writes it."""
    blob = base64.b64decode(generate_key_pair("").public_line.split()[1])
    kind = b"sk-ssh-ed25519@openssh.com"
    parts = (kind, blob[-32:], b"ssh:")
    packed = b"".join(struct.pack(">I", len(part)) + part for part in parts)
    return f"{kind.decode()} {base64.b64encode(packed).decode()} key"


def test_type_length_comment_and_fingerprint_are_read():
    line = generate_key_pair("ada@laptop of mine").public_line

    key = parse_public_key(f"  {line}\r\n")

    assert (key.kind, key.bits) == ("ssh-ed25519", 256)
    assert key.comment == "ada@laptop of mine"
    assert key.fingerprint.startswith("SHA256:")
    assert f"{key.kind} {key.blob}" in line


@pytest.mark.parametrize(
    ("line", "bits"),
    [
        (openssh(ec.generate_private_key(ec.SECP384R1())), 384),
        (openssh(rsa.generate_private_key(65537, 2048)), 2048),
        (on_security_key(), 256),
    ],
    ids=["ecdsa", "rsa", "security key"],
)
def test_other_types_are_taken(line: str, bits: int):
    assert parse_public_key(line).bits == bits


def test_private_key_is_refused_and_not_repeated():
    text = generate_key_pair("").private_openssh.decode()

    for private in (text, "".join(text.splitlines()[1:-1])):
        with pytest.raises(KeyRefused) as found:
            parse_public_key(private)

        assert "private key" in found.value.message
        assert text.splitlines()[2] not in str(vars(found.value))


@pytest.mark.parametrize(
    "line",
    [
        "",
        "ssh-ed25519",
        "ssh-ed25519 AAAA",
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI\N{SUPERSCRIPT TWO} x",
        "ssh-dss AAAAB3NzaC1kc3M= old",
        generate_key_pair("").public_line.replace("AAAA", "AA!AA"),
        'command="sh" ' + generate_key_pair("").public_line,
        generate_key_pair("").public_line.replace("ssh-ed25519", "ssh-rsa"),
        "\n".join([generate_key_pair("").public_line] * 2),
        generate_key_pair("").public_line + " " + "x" * 9000,
    ],
)
def test_all_else_is_refused(line: str):
    with pytest.raises(KeyRefused):
        parse_public_key(line)


def test_short_rsa_key_is_refused():
    line = openssh(rsa.generate_private_key(65537, 1024))  # noqa: S505 - refused

    with pytest.raises(KeyRefused, match="1024 bits"):
        parse_public_key(line)


def test_comment_is_one_short_line_of_visible_characters():
    line = generate_key_pair("").public_line

    key = parse_public_key(f"{line} a\x1b[31mb{'c' * 300}")

    assert key.comment.startswith("a?[31mb")
    assert len(key.comment) == MOST_COMMENT
