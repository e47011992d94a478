"""The answer to "what does this act erase", and its confirmation."""
