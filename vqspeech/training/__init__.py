"""Training: the loop, its tasks and its logs."""
