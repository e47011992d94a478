"""The rows by which users find testbeds again: tags, and each user's favourites."""
