"""One probe per layer between a domain and a guest that is ready; see diagnosis."""
