"""`kodolly export`: a group, as each format has options of its own."""

import click

from kodolly.lazy_group import LazyGroup

EPILOG = """\b
Examples:
  kodolly export fp8 models/my-dolly models/my-dolly-fp8
  kodolly export gguf models/my-dolly models/my-dolly-gguf
"""
TABLE = {
    "fp8": "Write the weights in 8 bits, as vLLM reads them: half the memory.",
    "int4": "Write the weights in 4 bits, as vLLM reads them: a quarter of the memory.",
    "gguf": "Write one file for llama.cpp, and a Modelfile for Ollama.",
}


@click.group("export", cls=LazyGroup, table=TABLE, epilog=EPILOG)
def command() -> None:
    """Write a finished checkpoint in another format, with proof that it is still the same model."""
