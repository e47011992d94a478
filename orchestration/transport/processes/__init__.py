"""Which processes on a machine are a task's, and their end."""
