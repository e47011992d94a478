"""The user's YAML: schema, loader, checks. Pure."""
