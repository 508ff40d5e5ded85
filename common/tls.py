"""TLS as a client, for what asks other parts now and then."""

import functools
import ssl

import httpx2


@functools.cache
def trusted_certificates() -> ssl.SSLContext:
    """One context with the system's certificates, for httpx2's `verify`. Each client would make its own
    otherwise: reading all of them holds the event loop for 50 ms, also where the address is plain HTTP."""
    return httpx2.create_ssl_context(trust_env=False)
