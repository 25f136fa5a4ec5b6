"""A run: from options to a folder with checkpoints, curves, samples and a model. `train` sets it up, `loop` takes its
steps."""
