"""Accounts of an LDAP directory's users: the sign-in, what binds them, and their end."""
