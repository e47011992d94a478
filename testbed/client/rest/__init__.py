"""A client of the REST API under `/api/v1/`, with a token, and without Django."""
