"""A guest from start to first login: admission, deadline, waiting, diagnosis."""
