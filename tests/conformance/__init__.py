"""The wire contract W1-W29 as checks that run against any OpenAI-compatible URL; see docs/conformance.md."""
