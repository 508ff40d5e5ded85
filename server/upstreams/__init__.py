"""The engines and providers behind the gateway: which there are, how each does, connections to them."""
