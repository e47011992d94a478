"""The images on the hosts: their users, and the deletion of unused ones."""
