"""SSH to a machine, directly or through another one; the only importer of paramiko.

link.py is the connection itself, greeting.py reads a server's first word, login.py
logs in and translates paramiko's errors, failures.py counts connections that ended
before a login, connection.py keeps one link per machine, session.py moves the bytes of
one command, ending.py sees to it that a cancelled one is over, transport.py is the
Transport that everybody else uses.
"""

from orchestration.transport.ssh.failures import Failures
from orchestration.transport.ssh.login import Limits
from orchestration.transport.ssh.transport import SSHTransport

__all__ = ["Failures", "Limits", "SSHTransport"]
