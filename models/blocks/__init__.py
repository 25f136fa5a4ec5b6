"""What networks are built of: layers, chains of layers, encoders of conditions, heads."""
