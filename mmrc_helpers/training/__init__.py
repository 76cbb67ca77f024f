"""How it learns: methods, optimizers, checkpoints."""
