"""What a saved model says of a network: its class and arguments, from a table, and what it takes and gives."""
