"""Everything that a plan can ask for, one small class per kind of instruction."""
