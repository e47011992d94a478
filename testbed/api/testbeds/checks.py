"""The findings of a YAML that is not saved, as the editor shows them."""

from dataclasses import asdict

from ninja import Router
from pydantic import BaseModel

from orchestration.errors import Finding
from orchestration.project.folder import YAML_NAME
from testbed.access.permissions import Act, require_scope
from testbed.access.visibility import Request
from testbed.api.places import testbed_of
from testbed.api.wishes import Wish
from testbed.testbeds.findings import findings_of_text, findings_of_upload

router = Router(tags=["testbeds"])


class YamlWish(Wish):
    """The text of a YAML."""

    yaml: str


class FindingShape(BaseModel):
    """A remark: `error` or `warning`; lines and columns count from 1."""

    line: int
    column: int
    severity: str
    path: str
    message: str
    hint: str


class FindingList(BaseModel):
    """All findings by their lines; without an error Up is possible."""

    items: list[FindingShape]


@router.post("/check", response=FindingList)
def check_yaml(request: Request, wish: YamlWish) -> dict[str, object]:
    """Check a YAML for a new testbed of the user."""
    require_scope(request.user, Act.SEE)
    files = {YAML_NAME: _bytes(wish)}
    return _shape(findings_of_upload(files, request.user))


@router.post("/testbeds/{account}/{name}/check", response=FindingList)
def check_yaml_of_testbed(
    request: Request, account: str, name: str, wish: YamlWish
) -> dict[str, object]:
    """Check a YAML together with the files of a testbed."""
    testbed = testbed_of(request, account, name, Act.EDIT)
    return _shape(findings_of_text(testbed, _bytes(wish)))


def _bytes(wish: YamlWish) -> bytes:
    """Return the text; half a character of JSON is a finding of the YAML."""
    return wish.yaml.encode(errors="surrogatepass")


def _shape(findings: tuple[Finding, ...]) -> dict[str, object]:
    return {"items": [asdict(finding) for finding in findings]}
