"""The inputs of a testbed's plan, for clients that plan with their own files."""

from django.http import HttpResponse
from ninja import Router
from pydantic import BaseModel

from orchestration.plan.situation import Situation
from testbed.access.permissions import Act
from testbed.access.visibility import Request
from testbed.api.places import testbed_of
from testbed.testbeds.planning import situation_of
from testbed.testbeds.stored_files import digesting, digests_of, list_files

router = Router(tags=["runs"])


class StoredFile(BaseModel):
    """A file on the server; `etag` is empty of one that has just gone."""

    path: str
    size: int
    etag: str


class PlanInputs(BaseModel):
    """The files as the server has them, and the situation of a plan."""

    files: list[StoredFile]
    situation: Situation


@router.get("/testbeds/{account}/{name}/inputs", response=PlanInputs)
def read_inputs(request: Request, account: str, name: str) -> HttpResponse:
    """Show what a client needs, besides its own files, to plan as the server does."""
    testbed = testbed_of(request, account, name, Act.UP)
    with digesting(request.user, sum(list_files(testbed).values())):
        found = digests_of(testbed)
    files = [
        StoredFile(path=path, size=size, etag=digest)
        for path, (size, digest) in found.items()
    ]
    inputs = PlanInputs(files=files, situation=situation_of(testbed))
    return HttpResponse(inputs.model_dump_json(), content_type="application/json")
