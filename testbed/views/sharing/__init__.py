"""Pages of shares, of another owner, of groups, and of quotas."""
