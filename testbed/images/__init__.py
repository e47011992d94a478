"""The images on the hosts: who uses each, and deleting the others."""
