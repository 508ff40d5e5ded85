"""From token ids to an adapter or a checkpoint."""
