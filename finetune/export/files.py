"""What stands beside the weights of an exported checkpoint: the source's own files, word for word."""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path

from common.chat_template import TEMPLATE_FILE
from finetune.models.checkpoint import PROCESSORS

COPIED = (TEMPLATE_FILE, "generation_config.json", "vocab.json", "merges.txt", *PROCESSORS)


def write_files(directory: Path, source: Path, quantization: Mapping[str, object]) -> None:
    """All but weights and card; quantization: how an engine is to read the weights, for config.json."""
    for path in source.iterdir():
        named = path.name in COPIED or path.name.startswith(("tokenizer", "special_tokens"))
        if named and path.is_file():
            shutil.copyfile(path, directory / path.name)
    config = json.loads((source / "config.json").read_text(encoding="utf-8"))
    config["quantization_config"] = quantization
    text = json.dumps(config, indent=2, ensure_ascii=False) + "\n"
    (directory / "config.json").write_text(text, encoding="utf-8")
