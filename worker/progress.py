"""How far a starting vLLM is, read from its own log lines. Coarse: each stage is a fixed share."""

STAGES = (
    ("Resolved architecture", 0.30, "reading the model's configuration"),
    ("Initializing a V1 LLM engine", 0.50, "starting the engine"),
    ("Starting to load model", 0.70, "loading weights"),
    ("Loading weights took", 0.80, "weights loaded"),
    ("KV cache size", 0.90, "reserving the key-value cache"),
    ("Starting vLLM server", 0.95, "opening the port"),
    ("Application startup complete", 0.99, "almost ready"),
)
"""(words in the line, share of the way, what it is doing)."""


def stage_of(line: str) -> tuple[float, str] | None:
    """(share of the way 0..1, words for people) when `line` marks a stage, else None."""
    for words, share, what in STAGES:
        if words in line:
            return share, what
    return None
