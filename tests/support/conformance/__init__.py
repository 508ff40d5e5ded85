"""The endpoint that the conformance suite checks: options, stacks, and the wire as clients see it."""
