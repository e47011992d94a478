"""Random acts on three testbeds of two users, and what must hold after each of them."""
