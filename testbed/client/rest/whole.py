"""Reads an answer whole, up to a size: a server may send, or unpack to, any amount."""

import httpx

from orchestration.errors import TestbedError

# Far above each list and plan; files and artefacts are read piece by piece.
MOST_BYTES = 64 * 1024 * 1024
# Headers of how the content was packed: it is not any more.
_OF_TRANSFER = ("content-encoding", "content-length", "transfer-encoding")


def whole(answer: httpx.Response) -> httpx.Response:
    """Return an open answer with its content, and close it.

    Raises: TestbedError (it is too long), httpx.RequestError.
    """
    content = bytearray()
    try:
        for piece in answer.iter_bytes():
            content += piece
            if len(content) > MOST_BYTES:
                raise too_long(str(answer.request.url))
    finally:
        answer.close()
    kept = [
        pair for pair in answer.headers.multi_items() if pair[0] not in _OF_TRANSFER
    ]
    return httpx.Response(
        answer.status_code, headers=kept, content=bytes(content), request=answer.request
    )


def too_long(address: str) -> TestbedError:
    """Return the exception of an answer that has no end, as far as one can see."""
    return TestbedError(
        f"{address} sends more than a testbed server does; reading was ended.",
        hint="Compare the address with that in the browser, or tell a lab admin.",
    )
