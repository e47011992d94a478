"""The rules across entries, one module for each subject that they judge."""
