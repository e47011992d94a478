"""A real slapd of this machine, in a folder of its own, on ports of 127.0.0.1.

It has the users and groups of a small university, TLS with a certificate of its own
authority, and nothing of the machine's own directory.
"""

import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import ldap
import ldap.modlist

SLAPD = Path("/usr/sbin/slapd")
SCHEMAS = ("core", "cosine", "inetorgperson", "nis")
BASE = "dc=uni,dc=example"
ADMIN, ADMIN_PASSWORD = f"cn=admin,{BASE}", "root-secret"
READER, READER_PASSWORD = f"cn=reader,{BASE}", "reader-secret"
PEOPLE, GROUPS = f"ou=people,{BASE}", f"ou=groups,{BASE}"
LAB, LAB_ADMINS = f"cn=lab,{GROUPS}", f"cn=lab-admins,{GROUPS}"
COURSE = f"cn=course,{GROUPS}"
CONFIGURATION = """\
{includes}
pidfile {folder}/pid
modulepath /usr/lib/ldap
moduleload back_mdb
TLSCACertificateFile {folder}/ca.pem
TLSCertificateFile {folder}/server.pem
TLSCertificateKeyFile {folder}/server.key
database mdb
suffix {base}
rootdn {admin}
rootpw {password}
directory {folder}/data
dbnosync
index uid eq
access to attrs=userPassword by anonymous auth by * none
access to * by users read by anonymous auth
"""
START_S = 60


def dn(name: str) -> str:
    """Return the distinguished name of a user."""
    return f"uid={name},{PEOPLE}"


@dataclass
class Server:
    """A server that runs. `plain` and `tls` are its addresses."""

    folder: Path
    plain: str
    tls: str

    @property
    def ca_file(self) -> str:
        """The certificate of the authority that signed the server's."""
        return str(self.folder / "ca.pem")

    def add(self, name: str, password: str, **more: str) -> None:
        """Add a user, a member of the lab's group."""
        entry = {"uid": name, "cn": name, "sn": "N", "userPassword": password, **more}
        entry.setdefault("mail", f"{name}@uni.example")
        self.put(dn(name), objectClass="inetOrgPerson", **entry)
        self.change(LAB, ldap.MOD_ADD, "member", dn(name))

    def remove(self, name: str) -> None:
        """Remove a user; the groups still name the entry, as many directories' do."""
        self._bound().delete_s(dn(name))

    def put(self, where: str, **entry: str) -> None:
        """Add an entry."""
        values = {key: [value.encode()] for key, value in entry.items()}
        self._bound().add_s(where, ldap.modlist.addModlist(values))

    def change(self, where: str, how: int, attribute: str, value: str) -> None:
        """Change a value of an entry."""
        self._bound().modify_s(where, [(how, attribute, [value.encode()])])

    def _bound(self) -> ldap.ldapobject.LDAPObject:
        connection = ldap.initialize(self.plain)
        connection.simple_bind_s(ADMIN, ADMIN_PASSWORD)
        return connection


@contextmanager
def directory_server(folder: Path) -> Iterator[Server]:
    """Run a server with two empty groups but for their admin; yield it."""
    make_certificates(folder)
    (folder / "data").mkdir()
    includes = "\n".join(f"include /etc/ldap/schema/{name}.schema" for name in SCHEMAS)
    (folder / "slapd.conf").write_text(
        CONFIGURATION.format(
            folder=folder,
            includes=includes,
            base=BASE,
            admin=ADMIN,
            password=ADMIN_PASSWORD,
        )
    )
    plain, tls = f"ldap://127.0.0.1:{free_port()}", f"ldaps://127.0.0.1:{free_port()}"
    # A copy: AppArmor holds the installed one to the machine's own directory.
    program = shutil.copy(SLAPD, folder / "slapd")
    argv = [program, "-f", folder / "slapd.conf", "-h", f"{plain} {tls}", "-d", "0"]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(argv, stdout=log, stderr=log)
    try:
        server = Server(folder, plain, tls)
        _wait(server, process)
        _fill(server)
        yield server
    finally:
        process.terminate()
        process.wait(60)


def make_certificates(folder: Path) -> None:
    """Make an authority, and a certificate of it for 127.0.0.1."""
    new = ["openssl", "req", "-x509", "-nodes", "-days", "2", "-newkey", "ec"]
    new += ["-pkeyopt", "ec_paramgen_curve:prime256v1"]
    of = ["-subj", "/CN=Authority", "-keyout", "ca.key", "-out", "ca.pem"]
    server = ["-subj", "/CN=directory", "-keyout", "server.key", "-out", "server.pem"]
    server += ["-CA", "ca.pem", "-CAkey", "ca.key"]
    server += ["-addext", "subjectAltName=IP:127.0.0.1"]
    server += ["-addext", "basicConstraints=critical,CA:FALSE"]
    for words in (of, server):
        subprocess.run([*new, *words], cwd=folder, check=True, capture_output=True)


def free_port() -> int:
    """Return a port of 127.0.0.1 that nothing uses."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def _wait(server: Server, process: "subprocess.Popen[bytes]") -> None:
    end = time.monotonic() + START_S
    while True:
        try:
            server._bound()
        except ldap.LDAPError:
            log = (server.folder / "log").read_text()
            assert process.poll() is None, log
            assert time.monotonic() < end, log
            time.sleep(0.05)
        else:
            return


def _fill(server: Server) -> None:
    unit = {"objectClass": "organizationalUnit"}
    server.put(BASE, objectClass="domain", dc="uni")
    server.put(PEOPLE, **unit, ou="people")
    server.put(GROUPS, **unit, ou="groups")
    role = {"objectClass": "person", "sn": "reader", "cn": "reader"}
    server.put(READER, **role, userPassword=READER_PASSWORD)
    for group in (LAB, LAB_ADMINS, COURSE):
        server.put(
            group, objectClass="groupOfNames", cn=group.split(",")[0][3:], member=ADMIN
        )
