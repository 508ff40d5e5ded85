"""Adapters into their base, and several models into one, each with its proof."""
