"""The rules across entries, one module for each subject."""
