"""How users reach guests with SSH from their own machines."""
