"""The source of a testbed's files; `fetches` has what came from there."""

from datetime import datetime
from http import HTTPStatus

from ninja import Field, Router, Status
from pydantic import BaseModel, ConfigDict

from orchestration.transport.ssh.first_contact import host_key_of
from testbed.access.permissions import Act
from testbed.access.visibility import Request
from testbed.api.places import testbed_of
from testbed.api.problems import Missing
from testbed.api.testbeds.fetches import FetchShape, fetch_shape
from testbed.api.wishes import Text, Wish, Words
from testbed.models import Source, Testbed
from testbed.models.sources.rows import MOST_BRANCH, MOST_FOLDER, MOST_URL
from testbed.sources.changes import (
    confirm_key,
    forget_key,
    remove_source,
    renew_secret,
    set_source,
    source_of,
)

router = Router(tags=["source"])


class SourceWish(Wish):
    """A repository's address, a branch and a folder of it.

    `then_up`: after a push that changed files, the testbed is brought up as this user.
    """

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"url": "https://git.example.org/lab/testbed.git", "branch": "main"}
            ]
        },
    )

    url: Text = Field(max_length=MOST_URL)
    branch: Text = Field("main", max_length=MOST_BRANCH)
    folder: Text = Field("", max_length=MOST_FOLDER)
    then_up: bool = False


class SourceShape(BaseModel):
    """A source, and the commit that was fetched last, if one was.

    `deploy_key` is the public half, empty for https. `host_key` is the fingerprint with
    which the server answered, empty before the first fetch over ssh. `webhook` is the
    path that a forge calls; `secret` signs its calls and is sent once, when it is made.
    `up_as` is the account as which a push brings the testbed up, empty for none,
    `up_waits` the commit whose Up waits, empty for none, and `up_said` how the last time
    went.
    """

    url: str
    branch: str
    folder: str
    deploy_key: str
    host_key: str
    host_key_confirmed: bool
    webhook: str
    secret: str | None
    commit: str
    author: str
    subject: str
    committed_at: datetime | None
    fetched_at: datetime | None
    up_as: str
    up_waits: str
    up_said: str


class Fingerprint(Wish):
    """The fingerprint that a user compared, as `SHA256:…`."""

    fingerprint: Words


class RemovedSource(BaseModel):
    """The address of a source that was removed."""

    removed: str


PLACE = "/testbeds/{account}/{name}/source"


@router.get(PLACE, response=SourceShape)
def read_source(request: Request, account: str, name: str) -> dict[str, object]:
    """Show the source of a testbed; 404 without one."""
    testbed = testbed_of(request, account, name, Act.SET_SOURCE)
    return _shape(_source_of(testbed))


@router.put(
    PLACE,
    response={200: SourceShape, 201: SourceShape},
    operation_id="set_source",
)
def put_source(
    request: Request, account: str, name: str, wish: SourceWish
) -> Status[dict[str, object]]:
    """Set or change the source; the answer to the first has the webhook's secret."""
    testbed = testbed_of(request, account, name, Act.SET_SOURCE)
    place = (wish.url, wish.branch, wish.folder)
    secret = set_source(testbed, request.user, *place, then_up=wish.then_up)
    source = _source_of(testbed)
    status = HTTPStatus.CREATED if secret else HTTPStatus.OK
    return Status(status, _shape(source, secret or None))


@router.delete(PLACE, response=RemovedSource, operation_id="remove_source")
def delete_source(request: Request, account: str, name: str) -> dict[str, object]:
    """Remove the source, its deploy key and its webhook; the files stay."""
    testbed = testbed_of(request, account, name, Act.SET_SOURCE)
    source = _source_of(testbed)
    remove_source(testbed, request.user)
    return {"removed": source.url}


@router.post(
    f"{PLACE}/secret", response=SourceShape, operation_id="renew_source_secret"
)
def renew(request: Request, account: str, name: str) -> dict[str, object]:
    """Give the webhook another secret, which this answer alone has."""
    testbed = testbed_of(request, account, name, Act.SET_SOURCE)
    _source_of(testbed)
    secret = renew_secret(testbed, request.user)
    return _shape(_source_of(testbed), secret)


@router.put(
    f"{PLACE}/host-key",
    response={202: FetchShape},
    operation_id="confirm_source_host_key",
)
def confirm(
    request: Request, account: str, name: str, wish: Fingerprint
) -> Status[dict[str, object]]:
    """Confirm the host key of the repository's server by its fingerprint, and fetch.

    A user compares `host_key` of the source with what the server's operator publishes.
    """
    testbed = testbed_of(request, account, name, Act.SET_SOURCE)
    _source_of(testbed)
    row = confirm_key(testbed, request.user, wish.fingerprint)
    return Status(HTTPStatus.ACCEPTED, fetch_shape(row))


@router.delete(
    f"{PLACE}/host-key",
    response=SourceShape,
    operation_id="forget_source_host_key",
)
def forget(request: Request, account: str, name: str) -> dict[str, object]:
    """Forget the confirmed host key: the next fetch shows the present one."""
    testbed = testbed_of(request, account, name, Act.SET_SOURCE)
    _source_of(testbed)
    forget_key(testbed, request.user)
    return _shape(_source_of(testbed))


def _source_of(testbed: Testbed) -> Source:
    """Return the source. Raises: Http404 (there is none)."""
    found = source_of(testbed)
    if found is None:
        raise Missing("This testbed has no source.", hint="Set one with PUT.")
    return found


def _shape(source: Source, secret: str | None = None) -> dict[str, object]:
    seen = source.host_key or source.seen_key
    return {
        "url": source.url,
        "branch": source.branch,
        "folder": source.folder,
        "deploy_key": source.public_key,
        "host_key": host_key_of(seen).fingerprint if seen else "",
        "host_key_confirmed": bool(source.host_key),
        "webhook": f"/hooks/{source.hook}/",
        "secret": secret,
        "commit": source.commit,
        "author": source.author,
        "subject": source.subject,
        "committed_at": source.committed_at,
        "fetched_at": source.fetched_at,
        "up_as": str(source.up_by or ""),
        "up_waits": source.up_commit if source.up_by else "",
        "up_said": source.up_said,
    }
