"""Archives: a testbed made of one, and the files of one added to a testbed.

The content type says how it is packed; `testbeds/uploads.py` bounds and unpacks it.
"""

from typing import Any

from django.http import HttpResponse
from ninja import Query, Router

from testbed.access.names import require_name
from testbed.access.permissions import Act, require_scope
from testbed.access.visibility import Request
from testbed.api.content import body_of, content_of, kind_of
from testbed.api.keyed import KEYED, Made, made_once
from testbed.api.places import testbed_of
from testbed.api.testbeds.files import FileList
from testbed.api.testbeds.testbeds import TestbedShape, made_testbed
from testbed.api.wishes import Words
from testbed.testbeds.editing import add_files
from testbed.testbeds.files import create_testbed
from testbed.testbeds.uploads import as_testbed, read_archive

router = Router(tags=["files"])
# The content types of archives, each with a name that says how it is packed.
KINDS = {
    "application/zip": "archive.zip",
    "application/x-tar": "archive.tar",
    "application/gzip": "archive.tar.gz",
}
ABOUT: dict[str, Any] = {
    "requestBody": {"required": True, "content": content_of(*KINDS)}
}


@router.post(
    "/archives",
    response={201: TestbedShape},
    url_name="new-archive",
    openapi_extra={**ABOUT, **KEYED},
)
def create_from_archive(request: Request, name: Query[Words]) -> HttpResponse:
    """Make a testbed of an archive: the body is a zip, tar or tar.gz.

    An `Idempotency-Key` lets a request be sent again.
    """
    require_scope(request.user, Act.EDIT)
    packed, content = kind_of(request, KINDS), body_of(request)

    def make() -> Made:
        require_name(request.user, name)
        files = as_testbed(read_archive(packed, content))
        testbed = create_testbed(request.user, name, files)
        return made_testbed(request, testbed)

    return made_once(request, make, content=content)


@router.post(
    "/testbeds/{account}/{name}/archive",
    response=FileList,
    url_name="archive",
    openapi_extra=ABOUT,
)
def add_archive(request: Request, account: str, name: str) -> dict[str, object]:
    """Add the files of an archive, in place of those of the same paths."""
    testbed = testbed_of(request, account, name, Act.EDIT)
    packed, content = kind_of(request, KINDS), body_of(request)
    files = read_archive(packed, content)
    add_files(testbed, files, request.user)
    items = [{"path": path, "size": len(files[path])} for path in sorted(files)]
    return {"items": items}
