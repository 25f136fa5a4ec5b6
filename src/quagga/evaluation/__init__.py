"""How good a trained run is, beside real pictures and beside doing nothing, by one stated protocol; and what is wrong
with it, and what it may have invented."""
