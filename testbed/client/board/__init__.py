"""A run as a terminal shows it: the state of its board, and how it is drawn."""
