"""Things on the hosts, their owners, and the removal of unused ones."""
