"""The files of a saved model: read, written, checked; those of version 0.1, and weights of the authors' programs."""
