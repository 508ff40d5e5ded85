"""Conversations that somebody shows to others, read-only."""
