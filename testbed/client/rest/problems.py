"""The refusals of a server as exceptions: its own sentence, and its hint.

TestbedError
├── ServerProblem     the server answered, and refused; with its status and body
│   ├── TokenRefused  it does not know the token
│   ├── NotThere      there is no such thing, or it is another user's
│   ├── StaleCopy     a file is another one than the client read
│   └── Declined      the user did not agree to what an act erases
├── ServerUnreachable it did not answer
└── VersionsDiffer    it speaks another version of the API; says which is too old
"""

from http import HTTPStatus
from typing import Any

from orchestration.errors import TestbedError

# An answer that is not the server's own may hold a page of any size.
_MOST_SHOWN, _MOST_SENTENCE = 300, 2_000


class ServerProblem(TestbedError):
    """The server refused; `body` has what else it said."""

    def __init__(
        self, message: str, *, hint: str = "", status: int, body: dict[str, Any]
    ) -> None:
        super().__init__(message, hint=hint)
        self.status = status
        self.body = body

    @property
    def is_refusal(self) -> bool:
        """Whether the request was at fault, rather than the server."""
        return 400 <= self.status < 500


class TokenRefused(ServerProblem):
    """The token is unknown, revoked or expired."""


class NotThere(ServerProblem):
    """There is no such thing, or the user may not see it."""


class StaleCopy(ServerProblem):
    """A file on the server is another one than the one that was read."""


class Declined(ServerProblem):
    """The user did not agree to what the act erases; nothing was done."""


class ServerUnreachable(TestbedError):
    """The server did not answer."""


class VersionsDiffer(TestbedError):
    """Client and server speak different versions of the API."""


# Exceptions of reading an answer that has another shape than this client knows.
OTHER_SHAPE = (LookupError, TypeError, AttributeError, ValueError, RecursionError)

_KINDS: dict[int, type[ServerProblem]] = {
    HTTPStatus.UNAUTHORIZED: TokenRefused,
    HTTPStatus.NOT_FOUND: NotThere,
    HTTPStatus.PRECONDITION_FAILED: StaleCopy,
}


def problem_of(status: int, body: object, *, server: str) -> ServerProblem:
    """Return the exception of an answer; `body` is its JSON, None where it has none."""
    kind = _KINDS.get(status, ServerProblem)
    if not isinstance(body, dict) or "detail" not in body:
        return kind(
            f"{server} answers {status} and no words of a testbed server.",
            hint="Compare the address with that in the browser.",
            status=status,
            body={},
        )
    hint = str(body.get("hint") or "")[:_MOST_SHOWN]
    sentence = str(body["detail"])[:_MOST_SENTENCE]
    return kind(sentence, hint=hint, status=status, body=body)


def not_understood(exc: Exception, *, detail: str = "") -> TestbedError:
    """Return the failure of reading an answer, which nothing foresaw."""
    return TestbedError(
        f"The answer was not understood ({type(exc).__name__}: {exc}).",
        hint="Do the server and this program have the same version?",
        detail=detail,
    )
