"""Rows of a run's events: log lines that a test writes, and kinds that it reads."""

from django.utils import timezone

from testbed.models import Event, Run


def say(run: Run, texts: list[str], resource: str = "web", host: str = "main") -> None:
    """Write log lines as the recorder would."""
    first = run.last_seq + 1
    Event.objects.bulk_create(
        Event(
            run=run,
            seq=first + number,
            at=timezone.now(),
            kind="log",
            resource=resource,
            host=host,
            stream="stdout",
            text=text,
        )
        for number, text in enumerate(texts)
    )
    run.last_seq += len(texts)
    run.save(update_fields=["last_seq"])


def kinds_of(run: Run) -> list[str]:
    """Return what was said in a run, as kinds of events."""
    return list(run.events.values_list("kind", flat=True))
