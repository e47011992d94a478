"""The web: access, runs and events as rows, pages and the websocket.

A Django project and its one app. It plans with `orchestration` and runs plans through
Celery; it never talks to libvirt or SSH in a page request. This file imports nothing, so
that `testbed.client` works without Django and Celery.
"""
