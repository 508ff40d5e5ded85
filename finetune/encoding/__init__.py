"""From rows to token ids, and which of them the loss covers."""
