"""The page of one guest as values."""
