"""SSH to a machine, directly or through another one; the only importer of paramiko.

link.py is the connection itself, limits.py bounds what a peer may send. greeting.py
reads a server's banner. login.py logs in and translates paramiko's errors. failures.py
counts connections that ended before a login. connection.py keeps one link per machine.
session.py moves the bytes of one command. ending.py confirms the end of a cancelled
command. terminal.py opens a shell for a console, sockets.py a screen. transport.py is the Transport that the other packages use.
"""

from orchestration.transport.ssh.failures import Failures
from orchestration.transport.ssh.login import Limits
from orchestration.transport.ssh.terminal import Terminal
from orchestration.transport.ssh.transport import SSHTransport

__all__ = ["Failures", "Limits", "SSHTransport", "Terminal"]
