"""The web: access, runs and events as rows, pages and the websocket.

A Django project and its one app. It plans with `orchestration` and runs plans through
Celery; it never talks to libvirt or SSH in a page request.
"""

from testbed.celery import app as celery_app

__all__ = ["celery_app"]
