"""SSH to a machine, directly or through another one; the only importer of paramiko.

link.py is the connection itself, login.py dials and translates paramiko's errors,
connection.py keeps one link per machine, session.py moves the bytes of one command,
confirming.py sees to it that a cancelled one is over, transport.py is the Transport
that everybody else uses, probe.py asks only whether an SSH server is there.
"""

from orchestration.transport.ssh.probe import ProbeFailed, ProbeStep, probe_banner
from orchestration.transport.ssh.transport import SSHTransport

__all__ = ["ProbeFailed", "ProbeStep", "SSHTransport", "probe_banner"]
