"""What a run makes before its first step: its data, its game, and what it reads beside its minibatches."""
