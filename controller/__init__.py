"""The registry: which workers serve which models, in which state. Never in a chat's path."""
