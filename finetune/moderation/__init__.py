"""Trains moderation models from labelled dialogues, and measures them."""
