"""Pages of users' SSH keys, and files for their SSH clients."""
