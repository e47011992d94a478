"""A guest from its start to its first login: admission, deadline, waiting, diagnosis."""
