"""Sets, removes and fetches the source of a testbed, and records that.

Called with an authorised user, by pages and the API alike.
"""

import secrets
from functools import partial

from django.conf import settings
from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone

from orchestration.errors import HostKeyMismatch, StateError, TestbedBusy
from orchestration.transport.ssh.first_contact import host_key_of
from testbed.access.permissions import Act, record_act, require
from testbed.celery import request_fetch
from testbed.models import Fetch, Source, Testbed
from testbed.sources.keys import deploy_key_of, remove_deploy_key
from testbed.sources.places import SourceRefused, branch_of, folder_of, place_of

SECRET_BYTES = 32
LOSE = "lose"  # what a form sends to lose files where there is no trash


def source_of(testbed: Testbed) -> Source | None:
    """Return a testbed's source, if it has one."""
    return Source.objects.filter(testbed=testbed).first()


def set_source(
    testbed: Testbed,
    user: User,
    url: str,
    branch: str,
    folder: str,
    *,
    then_up: bool = False,
) -> str:
    """Set or change where the files come from; return a new webhook's secret, or ''.

    The files here stay until a fetch. With another repository, branch or folder nothing
    counts as fetched any more; with another server its host key is confirmed anew.
    `then_up`: after a push that changed files, the testbed is brought up as this user.
    Raises: SourceRefused, NotAllowed (the user may not bring it up).
    """
    if then_up:
        require(user, Act.UP, testbed)
    place = place_of(url)
    values = {
        "url": place.url,
        "branch": branch_of(branch),
        "folder": folder_of(folder),
        "public_key": deploy_key_of(testbed) if place.is_ssh else "",
        "set_by": user.get_username(),
        "set_at": timezone.now(),
        "up_by": user if then_up else None,
        "up_commit": "",
    }
    what = f"set the source {place.url} {values['branch']} {values['folder']}".strip()
    what += ", and Up after a push" if then_up else ""
    with transaction.atomic():
        record_act(user, Act.SET_SOURCE, testbed, what)
        old = Source.objects.select_for_update().filter(testbed=testbed).first()
        if old is None:
            secret = new_secret()
            hook = secrets.token_urlsafe(SECRET_BYTES)
            Source.objects.create(testbed=testbed, hook=hook, secret=secret, **values)
            return secret
        if any(values[name] != getattr(old, name) for name in PLACE):
            values |= {"manifest": {}, "commit": "", "author": "", "subject": ""}
            values |= {"committed_at": None, "fetched_at": None, "trouble": ""}
        before = place_of(old.url)
        if (before.host, before.port) != (place.host, place.port):
            values |= {"seen_key": "", "host_key": "", "confirmed_by": ""}
        Source.objects.filter(pk=old.pk).update(**values)
    return ""


PLACE = ("url", "branch", "folder")


def remove_source(testbed: Testbed, user: User) -> None:
    """Forget the source, its deploy key and its webhook; the files stay."""
    with transaction.atomic():
        record_act(user, Act.SET_SOURCE, testbed, "removed the source")
        Source.objects.filter(testbed=testbed).delete()
        waiting = _fetches(testbed).filter(status=Fetch.Status.WAITING)
        waiting.update(
            status=Fetch.Status.FAILED,
            said="The source was removed.",
            ended_at=timezone.now(),
        )
    remove_deploy_key(testbed)


def new_secret() -> str:
    """Return a secret for a webhook, of characters that any forge takes."""
    return secrets.token_urlsafe(SECRET_BYTES)


def renew_secret(testbed: Testbed, user: User) -> str:
    """Give the webhook another secret; return it. Raises: StateError (no source)."""
    secret = new_secret()
    with transaction.atomic():
        if not Source.objects.filter(testbed=testbed).update(secret=secret):
            raise _no_source(testbed)
        what = "gave the source's webhook another secret"
        record_act(user, Act.SET_SOURCE, testbed, what)
    return secret


def confirm_key(testbed: Testbed, user: User, fingerprint: str) -> Fetch:
    """Pin the host key that a user compared, and fetch.

    Raises: StateError, HostKeyMismatch (it is another one by now), TestbedBusy.
    """
    source = source_of(testbed)
    if source is None:
        raise _no_source(testbed)
    seen, by = source.seen_key, user.get_username()
    if not seen or host_key_of(seen).fingerprint != fingerprint:
        raise _other_key()
    with transaction.atomic():
        _locked(testbed)
        _require_none_active(testbed)
        mine = Source.objects.filter(pk=source.pk, seen_key=seen)
        if not mine.update(host_key=seen, confirmed_by=by):
            raise _other_key()
        what = f"confirmed the source's host key {fingerprint}"
        record_act(user, Act.SET_SOURCE, testbed, what)
        return _begun(testbed, by)


def forget_key(testbed: Testbed, user: User) -> None:
    """Forget the confirmed host key: the next fetch shows the present one."""
    with transaction.atomic():
        mine = Source.objects.filter(testbed=testbed)
        mine.update(host_key="", seen_key="", confirmed_by="")
        record_act(user, Act.SET_SOURCE, testbed, "forgot the source's host key")


def ask_for_fetch(testbed: Testbed, user: User) -> Fetch:
    """Ask for a fetch, for a user. Raises: StateError, TestbedBusy (one waits)."""
    with transaction.atomic():
        _locked(testbed)
        _require_none_active(testbed)
        record_act(user, Act.EDIT, testbed, "asked for a fetch of the source")
        return _begun(testbed, user.get_username())


def ask_after_push(source: Source) -> Fetch:
    """Ask for a fetch after a push; return the one that waits already, if there is one."""
    testbed = source.testbed
    with transaction.atomic():
        _locked(testbed)
        Source.objects.filter(pk=source.pk).update(pushed_at=timezone.now())
        then_up = Source.objects.filter(pk=source.pk, up_by__isnull=False).exists()
        # Locked: a worker that claims it meanwhile would read `then_up` before.
        rows = _fetches(testbed).select_for_update()
        waiting = rows.filter(status=Fetch.Status.WAITING).first()
        if waiting is None:
            return _begun(testbed, "", then_up=then_up)
        if then_up:
            Fetch.objects.filter(pk=waiting.pk).update(then_up=True)
        return waiting


def decide(conflict: Fetch, user: User, decision: str, *, confirm: str = "") -> Fetch:
    """Fetch again, and use one side of a conflict's files.

    Raises: SourceRefused (there is none, or files would be lost unconfirmed), TestbedBusy.
    """
    testbed = conflict.testbed
    if decision not in Fetch.Decision.values:
        raise SourceRefused("There is no such decision.")
    loses = decision == Fetch.Decision.TAKE and not settings.TRASH_DAYS
    if loses and confirm != LOSE:
        raise SourceRefused(
            "This lab keeps no trash: the files here would be lost.",
            hint=f"Confirm that on the page of the fetch, or send `confirm`: `{LOSE}`.",
        )
    with transaction.atomic():
        _locked(testbed)
        _require_none_active(testbed)
        newest = _fetches(testbed).first()
        if conflict.status != Fetch.Status.CONFLICT or newest != conflict:
            raise SourceRefused(
                "This conflict was decided, or another fetch followed it.",
                hint="Look at the newest fetch.",
            )
        what = f"decided the conflict of fetch {conflict.pk}: {decision}"
        record_act(user, Act.EDIT, testbed, what)
        return _begun(testbed, user.get_username(), decision=decision, decides=conflict)


def _locked(testbed: Testbed) -> None:
    """Let one request at a time ask for a fetch. Raises: StateError (no source)."""
    rows = Source.objects.select_for_update().filter(testbed=testbed)
    if rows.defer("manifest").first() is None:
        raise _no_source(testbed)


def _require_none_active(testbed: Testbed) -> None:
    if active := _fetches(testbed).filter(status__in=Fetch.ACTIVE).first():
        word = "waits" if active.status == Fetch.Status.WAITING else "is under way"
        raise TestbedBusy(
            f"A fetch of {testbed} for {active.who} {word}.", hint="Wait for its end."
        )


def _begun(testbed: Testbed, by: str, **values: object) -> Fetch:
    row = Fetch.objects.create(testbed=testbed, asked_by=by, **values)
    Fetch.objects.forget(testbed)
    transaction.on_commit(partial(request_fetch, row.pk))
    return row


def _fetches(testbed: Testbed) -> QuerySet[Fetch]:
    return Fetch.objects.filter(testbed=testbed)


def _other_key() -> HostKeyMismatch:
    return HostKeyMismatch(
        "The forge has another host key than the one that was confirmed.",
        hint="Look at the fingerprint again, and compare it with the forge's own.",
    )


def _no_source(testbed: Testbed) -> StateError:
    return StateError(f"Testbed {testbed} has no source.", hint="Set one first.")
