"""Protections, which refuse to erase data of a testbed or of one guest."""

from datetime import datetime

from ninja import Router
from pydantic import BaseModel

from testbed.access.permissions import Act
from testbed.access.visibility import Request
from testbed.api.places import testbed_of
from testbed.models import Testbed
from testbed.testbeds.erasure.protection import (
    change_protection,
    protections_of,
)

router = Router(tags=["protection"])


class ProtectionShape(BaseModel):
    """A protection of one guest or, without one, of the whole testbed."""

    guest: str
    set_by: str
    set_at: datetime


class ProtectionList(BaseModel):
    """All protections of a testbed."""

    items: list[ProtectionShape]


@router.get("/testbeds/{account}/{name}/protection", response=ProtectionList)
def list_protections(request: Request, account: str, name: str) -> dict[str, object]:
    """List what is protected."""
    return _shown(testbed_of(request, account, name, Act.SEE))


@router.put("/testbeds/{account}/{name}/protection", response=ProtectionList)
def protect(
    request: Request, account: str, name: str, guest: str = ""
) -> dict[str, object]:
    """Protect the testbed, or one guest."""
    testbed = testbed_of(request, account, name, Act.PROTECT)
    change_protection(testbed, request.user, guest, is_lifted=False)
    return _shown(testbed)


@router.delete("/testbeds/{account}/{name}/protection", response=ProtectionList)
def lift_protection(
    request: Request, account: str, name: str, guest: str = ""
) -> dict[str, object]:
    """Lift the protection of the testbed, or of one guest."""
    testbed = testbed_of(request, account, name, Act.PROTECT)
    change_protection(testbed, request.user, guest, is_lifted=True)
    return _shown(testbed)


def _shown(testbed: Testbed) -> dict[str, object]:
    return {
        "items": [
            {"guest": one.guest, "set_by": str(one.set_by), "set_at": one.set_at}
            for one in protections_of(testbed).values()
        ]
    }
