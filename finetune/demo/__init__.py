"""The two small models of the demo."""
