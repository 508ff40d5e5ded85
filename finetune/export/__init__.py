"""Finished checkpoints in other formats, each with its proof."""
