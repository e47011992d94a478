"""Commands that run programs in guests, and what these leave."""
