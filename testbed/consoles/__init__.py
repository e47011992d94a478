"""Consoles of guests in the browser: tickets, the gateway, and the web's side of it.

The web has no way to a host. It asks for the permission (`tickets.py`) and copies bytes
between a browser's websocket and the gateway's unix socket (`link.py`). The gateway
(`gateway.py`, `manage.py console_gateway`) is root's process beside the worker: it takes
tickets, holds the streams (`serial.py`, `shell.py`, `screen.py`) and reads no database.
"""
