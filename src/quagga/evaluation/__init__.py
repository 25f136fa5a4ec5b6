"""How good a run is, and what is wrong with it, read of its folder."""
