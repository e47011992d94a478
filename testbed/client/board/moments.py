"""Moments of the API as lists show them: in the terminal's own time zone, named."""

from datetime import datetime


def moment(value: str | None) -> str:
    """Return an ISO 8601 moment as `2026-11-29 01:14 CET`; "" of none."""
    if not value:
        return ""
    return f"{datetime.fromisoformat(value).astimezone():%Y-%m-%d %H:%M %Z}"
