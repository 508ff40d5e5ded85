"""The published models that the shipped recipes begin with: shape, licence, and where both are stated."""
