"""How commands reach what runs: the gateway, the controllers, and the stack of this machine."""
