"""Every way a user can change something, one module per subject."""
