"""The service that owns files and vector stores, in OpenAI's shapes; only the gateway may ask it."""
