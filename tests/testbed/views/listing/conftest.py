"""Testbeds of two users and two groups, of which a user sees a part."""

from dataclasses import dataclass

import pytest
from django.contrib.auth.models import Group, User
from django.utils import timezone

from testbed.models import ObservedGuest, Run, Share, Tag, Testbed


@dataclass(frozen=True)
class Lab:
    """`course` is a group of olive and sam, `staff` one of sam alone.

    Olive owns `alpha` (up, two guests on host-b) and `zulu`. Sam owns `lesson`, shared
    with the course and with staff, and `secret`, shared with staff.
    """

    course: Group
    staff: Group


def add(owner: User, slug: str, number: int, condition: str = "empty") -> Testbed:
    return Testbed.objects.create(
        owner=owner, slug=slug, number=number, condition=condition
    )


def put_guests(testbed: Testbed, host: str, *statuses: str) -> None:
    ObservedGuest.objects.bulk_create(
        ObservedGuest(
            testbed=testbed,
            name=f"g{number}",
            host=host,
            status=status,
            observed_at=timezone.now(),
        )
        for number, status in enumerate(statuses)
    )


def put_run(testbed: Testbed, user: User, status: str = "succeeded") -> Run:
    return Run.objects.create(
        testbed=testbed, command="up", plan={}, asked_by=user, status=status
    )


def share_with_group(testbed: Testbed, group: Group, role: str = "operator") -> None:
    Share.objects.create(
        testbed=testbed,
        group=group,
        role=role,
        given_by=testbed.owner,
        given_at=timezone.now(),
    )


@pytest.fixture
def lab(owner: User, stranger: User, hosts: object) -> Lab:
    found = Lab(*(Group.objects.create(name=name) for name in ("course", "staff")))
    owner.groups.add(found.course)
    stranger.groups.add(found.course, found.staff)
    alpha = add(owner, "alpha", 1, "up")
    add(owner, "zulu", 2)
    lesson = add(stranger, "lesson", 3, "down")
    secret = add(stranger, "secret", 4, "up")
    put_guests(alpha, "host-b", "running", "running")
    put_guests(lesson, "main", "running", "shut off", "shut off")
    put_guests(secret, "host-b", "running", "running", "running", "running")
    share_with_group(lesson, found.course)
    share_with_group(lesson, found.staff)
    share_with_group(secret, found.staff)
    Testbed.objects.filter(slug="zulu").update(description="The first exercise")
    for testbed, names in ((alpha, ["bgp"]), (lesson, ["ospf"]), (secret, ["hidden"])):
        Tag.objects.bulk_create(Tag(testbed=testbed, name=name) for name in names)
    put_run(lesson, stranger)
    put_run(secret, stranger)
    put_run(alpha, owner, "running")
    return found
