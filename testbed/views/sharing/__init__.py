"""Pages of shares, of another owner, and of groups."""
