"""The OpenAI-compatible gateway: auth, choice of worker, byte relay, usage ledger, feedback."""
