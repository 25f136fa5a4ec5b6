"""The command line: one file a command, and what they share. `main` imports none before it is called."""
