"""The pages of accounts: signing in, the password, sessions, and how accounts begin."""
