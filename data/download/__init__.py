"""Downloads of published sets: which there are, the transfer over HTTP, and the safe unpacking of archives."""
