"""The hosts, as their page shows them."""
