"""The errors of a page's form, as the API refuses values."""

from django import forms

from orchestration.errors import TestbedError

MOST_SHOWN = 20


class WrongValues(TestbedError):
    """Values that a form refuses; `errors` has each with its place."""

    def __init__(self, errors: list[dict[str, str]]) -> None:
        first = errors[0]
        hint = "See `errors`." if len(errors) > 1 else ""
        place = first["where"].removeprefix("body.")
        super().__init__(f"{place}: {first['message']}", hint=hint)
        self.errors = errors


def require_valid(form: forms.BaseForm) -> None:
    """Let a form go on without an error. Raises: WrongValues."""
    if form.is_valid():
        return
    found = [
        {"where": f"body.{name}", "message": str(text)}
        for name, texts in form.errors.items()
        for text in texts
    ]
    raise WrongValues(found[:MOST_SHOWN])
