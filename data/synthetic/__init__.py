"""The embedded set: horses, zebras and their landscapes, drawn in code, with the true translation of each picture."""
