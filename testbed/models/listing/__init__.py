"""The rows by which users find testbeds again: tags, names, each user's favourites."""
