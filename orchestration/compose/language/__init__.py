"""The language: models of its entries, its generations, keys and JSON schema."""
