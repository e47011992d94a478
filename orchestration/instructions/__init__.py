"""The actions that a plan can ask for, one function per kind of instruction."""
