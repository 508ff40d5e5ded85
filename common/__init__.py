"""What two processes must agree on, and nothing else: imports no sibling package and no torch."""
