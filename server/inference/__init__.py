"""One request of inference, from admission to the last byte of its answer."""
