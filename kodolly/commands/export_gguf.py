"""`kodolly export gguf`."""

import importlib.util
from pathlib import Path

import click

from common.errors import UserError
from kodolly.echo import echo_line

EPILOG = """\b
Examples:
  kodolly export gguf models/my-dolly models/my-dolly-gguf
  kodolly export gguf models/my-dolly models/my-dolly-q8 --type q8_0
  cd models/my-dolly-gguf && ollama create my-dolly -f Modelfile
"""


@click.command("gguf", epilog=EPILOG)
@click.argument("checkpoint", type=click.Path(path_type=Path))
@click.argument("output", type=click.Path(path_type=Path))
@click.option(
    "--type",
    "dtype",
    type=click.Choice(["bfloat16", "float16", "float32", "q8_0"]),
    help="Type of the weights; q8_0 is 8 bits.  [default: the checkpoint's own]",
)
@click.option(
    "--push", metavar="OWNER/NAME", help="Also copy the result to the hub; a new repository is private."
)
def command(checkpoint: Path, output: Path, dtype: str | None, push: str | None) -> None:
    """Write CHECKPOINT as OUTPUT/model.gguf for llama.cpp, with a Modelfile for Ollama beside it.

    The file carries the chat template and the stop tokens of training. Ollama reads templates of another
    form; it is written where it makes the very same prompts of conversations, else there is no Modelfile and
    a line says why. Where llama.cpp is installed (the package xllamacpp), it answers bundled questions, and
    the source has to find the same tokens likeliest. Architectures and tokenizers of which llama.cpp's
    answers were not compared are refused.
    """
    from common.openmp import let_waiting_threads_sleep
    from finetune.models.quiet import hide_library_notes
    from finetune.progress import terminal_report

    if importlib.util.find_spec("gguf") is None:
        raise UserError("Writing GGUF files needs gguf.", hint="Install the extra `export`.")
    let_waiting_threads_sleep()
    hide_library_notes()
    from finetune.export.gguf_file import export_gguf
    from finetune.export.llama_proof import has_llama_cpp
    from finetune.models import hub

    hub.require_hub(push)
    export_gguf(checkpoint, output, terminal_report(), dtype, llama_cpp=has_llama_cpp())
    hub.push(output, push, terminal_report())
    echo_line(output)
