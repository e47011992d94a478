"""Pages of the testbed hosts: for all users, and those by which lab admins add them."""
