"""Base models, tokenizers and checkpoints as files and in memory."""
