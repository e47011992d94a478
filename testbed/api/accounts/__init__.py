"""The own things of a user, and the groups of users."""
