"""Certificates for servers of tests: of an authority that is made for one test."""

import datetime
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

DAY = datetime.timedelta(days=1)


@dataclass(frozen=True)
class Authority:
    """A key that signs certificates, and the name that these have as their issuer."""

    name: str
    key: ec.EllipticCurvePrivateKey

    @classmethod
    def new(cls) -> "Authority":
        """Make one that nobody trusts yet."""
        return cls("Authority", ec.generate_private_key(ec.SECP256R1()))

    @property
    def pem(self) -> str:
        """Its own certificate, with which a client trusts it."""
        made = _builder(self.name, self).public_key(self.key.public_key())
        made = made.add_extension(x509.BasicConstraints(True, None), critical=True)
        signed = made.sign(self.key, hashes.SHA256())
        return signed.public_bytes(serialization.Encoding.PEM).decode()

    def sign(self, file: Path, host: str, *, ends_in: datetime.timedelta = DAY) -> Path:
        """Write a certificate for a name or an address, and its key; return the file."""
        key = ec.generate_private_key(ec.SECP256R1())
        return write(file, key, host, self, ends_in)


def self_signed(file: Path, host: str) -> Path:
    """Write a certificate that signs itself, and its key; return the file."""
    key = ec.generate_private_key(ec.SECP256R1())
    return write(file, key, host, Authority(host, key), DAY)


def write(
    file: Path,
    key: ec.EllipticCurvePrivateKey,
    host: str,
    by: Authority,
    ends_in: datetime.timedelta,
) -> Path:
    """Write a certificate and its key into one file."""
    made = _builder(host, by, ends_in).public_key(key.public_key())
    names = x509.SubjectAlternativeName([_name_of(host)])
    signed = made.add_extension(names, critical=False).sign(by.key, hashes.SHA256())
    secret = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    file.write_bytes(signed.public_bytes(serialization.Encoding.PEM) + secret)
    return file


def _builder(
    subject: str, by: Authority, ends_in: datetime.timedelta = DAY
) -> x509.CertificateBuilder:
    until = datetime.datetime.now(datetime.UTC) + ends_in
    return (
        x509.CertificateBuilder()
        .subject_name(_called(subject))
        .issuer_name(_called(by.name))
        .serial_number(x509.random_serial_number())
        .not_valid_before(until - 3 * DAY)
        .not_valid_after(until)
    )


def _called(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _name_of(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(host))
    except ValueError:
        return x509.DNSName(host)
