"""Text of a YAML to values with positions; knows YAML, not the language."""
