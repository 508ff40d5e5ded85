"""What a client's connection says: the protocol, one request's head and body, and which route it asks for."""
