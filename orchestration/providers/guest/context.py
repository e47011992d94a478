"""Reads and replaces the context of a running guest."""

from orchestration.providers.guest.cloud_init import CONTEXT_DIGEST, FOLDER
from orchestration.transport.base import Scope, Transport, command

_ARCHIVE = f"{FOLDER}/context.tar"
UNPACK_TIMEOUT_S = 600.0
# The old context stays until the new one is complete. $1 is the archive, $2 its digest.
EXCHANGE = f"""\
set -e
cd {FOLDER}
rm -rf context.new
mkdir context.new
tar -x -f "$1" -C context.new
rm -rf context
mv context.new context
echo "$2" > {CONTEXT_DIGEST}
rm -f "$1"
"""


def read_context_digest(transport: Transport, *, scope: Scope) -> str:
    """Return the digest of the guest's context; empty where none is recorded.

    Raises: HostUnreachable.
    """
    look = command("cat", CONTEXT_DIGEST).with_root()
    return transport.run(look, scope=scope, check=False).stdout.strip()


def exchange_context(
    transport: Transport, archive: bytes, digest: str, *, scope: Scope
) -> None:
    """Replace the guest's whole context. Raises: CommandFailed, HostUnreachable."""
    transport.put(archive, _ARCHIVE, scope=scope, as_root=True)
    exchange = command("sh", "-c", EXCHANGE, "exchange", _ARCHIVE, digest).with_root()
    transport.run(exchange, scope=scope, timeout_s=UNPACK_TIMEOUT_S)
