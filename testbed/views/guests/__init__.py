"""Pages and forms of single guests."""
