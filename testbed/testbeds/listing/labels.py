"""Changes a testbed's description and its tags, and what a user sees of the list.

Called by the views with an authorised user. All of it is shown to each user who sees
the testbed; favourites are seen by their own user alone.
"""

import re
from collections.abc import Iterable

from django.contrib.auth.models import User
from django.db import transaction

from orchestration.errors import TestbedError
from testbed.access.permissions import Act, record_act
from testbed.models import Favourite, HiddenTour, Tag, Testbed
from testbed.models.listing.labels import MOST_TAG
from testbed.models.testbeds import MOST_DESCRIPTION

MOST_TAGS = 10
TAG = re.compile(r"\w[\w.-]*")


class LabelsRefused(TestbedError):
    """A description or a tag is too long, or a tag is no word."""


def describe(
    testbed: Testbed,
    by: User,
    description: str | None = None,
    tags: str | None = None,
) -> str:
    """Change the description, the tags or both; return and record the changes in words.

    Nothing is returned where nothing changes. Raises: LabelsRefused (nothing is done).
    """
    text = None if description is None else _description_of(description)
    names = None if tags is None else tags_of(tags)
    with transaction.atomic():
        locked = Testbed.objects.select_for_update().get(pk=testbed.pk)
        changes = []
        if text is not None and text != locked.description:
            Testbed.objects.filter(pk=testbed.pk).update(description=text)
            testbed.description = text
            changes.append(f"description: {text}" if text else "no description")
        if names is not None and _changed(locked, names):
            changes.append(f"tags: {', '.join(names)}" if names else "no tags")
        if words := "; ".join(changes):
            record_act(by, Act.DESCRIBE, testbed, words)
    return words


def give_labels(testbed: Testbed, description: str, tags: Iterable[str]) -> None:
    """Give a new testbed the words of another, or those that it had in the trash."""
    testbed.description = description
    Testbed.objects.filter(pk=testbed.pk).update(description=description)
    Tag.objects.bulk_create(Tag(testbed=testbed, name=name) for name in tags)


def tags_of(text: str) -> list[str]:
    """Return the tags of a text: words with commas or spaces between, each once.

    Raises: LabelsRefused.
    """
    names = sorted({name.lower() for name in re.split(r"[\s,]+", text) if name})
    if len(names) > MOST_TAGS:
        raise LabelsRefused(
            f"A testbed has at most {MOST_TAGS} tags; these are {len(names)}.",
            hint="Leave some out.",
        )
    for name in names:
        if len(name) > MOST_TAG or not TAG.fullmatch(name):
            raise LabelsRefused(
                f"The tag {name[:MOST_TAG]!r} is not possible.",
                hint=f"A tag has at most {MOST_TAG} letters, digits, `-`, `_` and `.`, "
                "and begins with a letter or a digit.",
            )
    return names


def set_favourite(testbed: Testbed, user: User, *, is_favourite: bool) -> None:
    """Mark a testbed as a user's favourite, or no longer."""
    if is_favourite:
        Favourite.objects.get_or_create(testbed=testbed, user=user)
    else:
        Favourite.objects.filter(testbed=testbed, user=user).delete()


def hide_steps(user: User) -> None:
    """Show a user the first steps never again."""
    HiddenTour.objects.get_or_create(user=user)


def _description_of(text: str) -> str:
    """Return a description on one line. Raises: LabelsRefused."""
    words = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    if len(words) > MOST_DESCRIPTION:
        raise LabelsRefused(
            f"A description has at most {MOST_DESCRIPTION} characters; this one has "
            f"{len(words)}.",
            hint="Make it shorter.",
        )
    return words


def _changed(testbed: Testbed, names: Iterable[str]) -> bool:
    """Give a locked testbed these tags alone; return whether it had others."""
    wanted, there = set(names), {tag.name for tag in testbed.tags.all()}
    testbed.tags.filter(name__in=there - wanted).delete()
    Tag.objects.bulk_create(
        Tag(testbed=testbed, name=name) for name in sorted(wanted - there)
    )
    return wanted != there
