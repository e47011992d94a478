"""Deletes the images that an admin chose on the page, one by one, with their outcome.

`cleanups` claims and ends the deletion. Each image is judged anew right before it is
deleted: an image that has a user by then stays, and the page names the user.
"""

from django.db.models import QuerySet

from orchestration.amounts import size
from orchestration.hosts import Hosts
from orchestration.inventory.image_uses import Verdict
from testbed.images.pruning import HostImages, Images, look_at_images
from testbed.models import Cleanup, CleanupItem

IMAGE, LEFTOVERS = "image", "leftovers"
Status = CleanupItem.Status


def delete_images(cleanup: Cleanup, hosts: Hosts) -> str:
    """Delete the images that a cleanup lists; return in words how much that freed."""
    images, freed = Images(hosts), 0
    names = cleanup.items.order_by().values_list("host", flat=True)
    for found in images.observe(set(names)):
        _delete_on(found, images, cleanup)
        freed += found.freed_bytes
    left = cleanup.items.filter(status=Status.WAITING)
    left.update(status=Status.FAILED, message="there is no such host any more")
    look_at_images(hosts)
    return f"{size(freed)} freed."


def _delete_on(found: HostImages, images: Images, cleanup: Cleanup) -> None:
    mine = cleanup.items.filter(host=found.host.name)
    names = set(mine.filter(kind=IMAGE).values_list("name", flat=True))
    if not found.problem:
        _say_what_stays(mine, found, names)

    def note(_: HostImages, verdict: Verdict, kept: str) -> None:
        status = Status.FAILED if kept else Status.DONE
        message = kept or f"{size(verdict.image.disk_bytes)}"
        mine.filter(kind=IMAGE, name=verdict.image.name).update(
            status=status, message=message
        )

    images.prune(found, lambda _, verdict: verdict.image.name in names, note)
    if mine.filter(kind=LEFTOVERS).exists():
        images.sweep(found)
    waiting = mine.filter(status=Status.WAITING)
    if found.problem:
        waiting.update(status=Status.FAILED, message=found.problem)
    else:
        gone, all_of = len(found.swept), len(found.ripe)
        status = Status.DONE if gone == all_of else Status.FAILED
        stay = ": others are in use, or were just written to" * (gone < all_of)
        waiting.update(status=status, message=f"{gone} of {all_of} files{stay}")


def _say_what_stays(
    items: "QuerySet[CleanupItem]", found: HostImages, names: set[str]
) -> None:
    verdicts = {verdict.image.name: verdict for verdict in found.verdicts}
    for name in names:
        verdict = verdicts.get(name)
        if verdict is None:
            status, message = Status.UNCHANGED, "was gone already"
        elif verdict.is_unused:
            continue
        else:
            users = ", ".join(sorted({u.testbed or u.guest for u in verdict.uses}))
            status, message = Status.FAILED, verdict.kept or f"is used by {users}"
        items.filter(kind=IMAGE, name=name).update(status=status, message=message)
