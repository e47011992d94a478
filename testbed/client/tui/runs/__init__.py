"""A run on the whole terminal: followed in a thread, its board and its log."""
