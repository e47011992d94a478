"""Budgets of testbeds and accounts, and the limits that lab admins give."""

from django.contrib.auth.models import Group, User
from django.http import HttpResponse
from django.shortcuts import get_object_or_404
from ninja import Field, Query, Router
from pydantic import BaseModel

from testbed.access.limits import Account
from testbed.access.permissions import Act, require_admin, require_scope
from testbed.access.visibility import Request
from testbed.api.paging import Paging
from testbed.api.places import account_in, testbed_of
from testbed.api.wishes import Wish
from testbed.pages.budgets import (
    AccountQuota,
    account_shown,
    all_quotas,
    budgets_and_quota,
    files_and_logs_of,
    quota_of,
)
from testbed.sharing.allowances import remove_allowance, set_allowance

router = Router(tags=["quotas"])
# What a row of the database holds.
MOST = 2**31 - 1


class BudgetShape(BaseModel):
    """`used` of `limit`, in bytes or in numbers."""

    name: str
    used: int
    limit: int
    in_bytes: bool
    percent: int
    note: str


class Budgets(BaseModel):
    """The budgets of a testbed, and the quota of its account where the user sees it."""

    account: str
    items: list[BudgetShape]
    quota: list[BudgetShape]


class OwnBudgets(BaseModel):
    """The user's quota, and what the user's files and logs take."""

    quota: list[BudgetShape]
    items: list[BudgetShape]


class QuotaShape(BaseModel):
    """An account and its quota; `percent` is of the part that is used most."""

    account: str
    is_group: bool
    percent: int
    reserved: str
    quota: list[BudgetShape]


class QuotaList(BaseModel):
    """A page of accounts, those with the least left first."""

    items: list[QuotaShape]
    count: int


class GroupLimits(Wish):
    """Limits of a group; null is the installation's."""

    testbeds: int | None = Field(None, ge=0, le=MOST)
    guests: int | None = Field(None, ge=0, le=MOST)
    vcpus: int | None = Field(None, ge=0, le=MOST)
    memory_gib: int | None = Field(None, ge=0, le=MOST)
    runs: int | None = Field(None, ge=0, le=MOST)
    user_disk_gib: int | None = Field(None, ge=0, le=MOST)


class UserLimits(GroupLimits):
    """Limits of a user; null is the installation's."""

    sockets: int | None = Field(None, ge=0, le=MOST)
    testbed_mib: int | None = Field(None, ge=0, le=MOST)
    user_mib: int | None = Field(None, ge=0, le=MOST)
    testbed_disk_gib: int | None = Field(None, ge=0, le=MOST)
    testbed_log_mib: int | None = Field(None, ge=0, le=MOST)
    user_log_mib: int | None = Field(None, ge=0, le=MOST)


@router.get("/testbeds/{account}/{name}/budgets", response=Budgets)
def read_budgets(request: Request, account: str, name: str) -> dict[str, object]:
    """Show what a testbed and its account use of what they may."""
    testbed = testbed_of(request, account, name, Act.SEE)
    items, quota = budgets_and_quota(testbed, has_quota=request.may.allows(Act.UP))
    return {
        "account": account_shown(testbed, request.user),
        "items": [one.json() for one in items],
        "quota": [one.json() for one in quota],
    }


@router.get("/me/budgets", response=OwnBudgets)
def read_own_budgets(request: Request) -> dict[str, object]:
    """Show what the user uses of what the user may."""
    require_scope(request.user, Act.SEE)
    return {
        "quota": [one.json() for one in quota_of(request.user)],
        "items": [one.json() for one in files_and_logs_of(request.user)],
    }


@router.get("/quotas", response=QuotaList)
def list_quotas(request: Request, paging: Query[Paging]) -> dict[str, object]:
    """List the quotas of all users and groups."""
    require_admin(request.user)
    found = all_quotas()
    begin = (paging.page - 1) * paging.per_page
    shown = found[begin : begin + paging.per_page]
    return {"items": [_shape(one) for one in shown], "count": len(found)}


@router.put("/quotas/users/{user}", response={204: None})
def set_user_limits(request: Request, user: str, limits: UserLimits) -> HttpResponse:
    """Give a user limits in place of the installation's; what is left out is that's."""
    return _set(request, _user(request, user), limits)


@router.delete("/quotas/users/{user}", response={204: None})
def remove_user_limits(request: Request, user: str) -> HttpResponse:
    """Give a user the installation's limits again."""
    return _remove(request, _user(request, user))


@router.put("/quotas/groups/{int:number}", response={204: None})
def set_group_limits(
    request: Request, number: int, limits: GroupLimits
) -> HttpResponse:
    """Give a group a quota, to which testbeds of its members can be charged."""
    return _set(request, _group(request, number), limits)


@router.delete("/quotas/groups/{int:number}", response={204: None})
def remove_group_limits(request: Request, number: int) -> HttpResponse:
    """Take a group's quota away."""
    return _remove(request, _group(request, number))


def _set(request: Request, account: Account, limits: GroupLimits) -> HttpResponse:
    set_allowance(account, limits.model_dump(), request.user)
    return HttpResponse(status=204)


def _remove(request: Request, account: Account) -> HttpResponse:
    remove_allowance(account, request.user)
    return HttpResponse(status=204)


def _user(request: Request, name: str) -> User:
    require_admin(request.user)
    return get_object_or_404(User, username=account_in(name))


def _group(request: Request, number: int) -> Group:
    require_admin(request.user)
    return get_object_or_404(Group, pk=number)


def _shape(one: AccountQuota) -> dict[str, object]:
    return {
        "account": one.name,
        "is_group": one.is_group,
        "percent": one.pressure,
        "reserved": one.reserved,
        "quota": [budget.json() for budget in one.budgets],
    }
