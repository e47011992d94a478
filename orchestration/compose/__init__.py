"""What the user wrote: schema, loader, checks. Pure."""
