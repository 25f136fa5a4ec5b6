"""Pages that show a training and how good it is, each in one file."""
