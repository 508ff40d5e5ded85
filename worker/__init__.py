"""A supervisor around one stock vLLM OpenAI server: start, register, report load, drain, restart."""
