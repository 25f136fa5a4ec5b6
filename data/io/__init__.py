"""Picture files to arrays to tensors, and back: formats, kinds of numbers, colours, metadata; contact sheets."""
