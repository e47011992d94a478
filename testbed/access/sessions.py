"""Finds the user of a session where there is no request of Django's."""

from importlib import import_module

from django.conf import settings
from django.contrib.auth import get_user
from django.contrib.auth.models import User
from django.http import HttpRequest

SessionStore = import_module(settings.SESSION_ENGINE).SessionStore


def user_of_session(key: str | None) -> User | None:
    """Return the user who is signed in by this session and may sign in now."""
    request = HttpRequest()
    request.session = SessionStore(key)
    user = get_user(request)
    return user if isinstance(user, User) and user.is_active else None
