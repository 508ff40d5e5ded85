"""The directory of the base that a recipe names."""

import re
from pathlib import Path

from common.errors import UserError
from finetune.files.unreadable import HUB_ID
from finetune.recipes.keys import CommonKeys, OnBase
from finetune.recipes.not_native import refuse_not_native

HUB_ADDRESS = re.compile(rf"(?:huggingface\.co|hf\.co)/+({HUB_ID.pattern})")


def base_of(recipe: CommonKeys) -> Path | None:
    """`base_directory` of a recipe that has a base, None for one that has none. Raises UserError."""
    return base_directory(recipe) if isinstance(recipe, OnBase) else None


def base_directory(recipe: OnBase) -> Path:
    """The directory of the base checkpoint; a hub id is looked up in the local cache and nowhere else.

    Raises UserError when it is not there, or cannot be tuned and served. It is cheap, so that it can be
    called before torch loads.
    """
    if HUB_ID.fullmatch(recipe.base):
        from huggingface_hub import try_to_load_from_cache

        found = try_to_load_from_cache(recipe.base, "config.json")
        if not isinstance(found, str):
            raise UserError(
                f"The base {recipe.base} is not in the local Hugging Face cache.",
                hint=f"Download it with `hf download {recipe.base}`, or give base=DIRECTORY.",
            )
        refuse_not_native(Path(found).parent)
        return Path(found).parent
    directory = Path(recipe.base)
    if (directory / "config.json").is_file():
        refuse_not_native(directory)
        return directory
    if address := HUB_ADDRESS.search(recipe.base):
        raise UserError(
            f"The base is an address of the Hugging Face hub; its name there is {address[1]}.",
            hint=f"Download it with `hf download {address[1]}`, and write base: {address[1]}.",
        )
    raise UserError(
        f"The base {directory} is not a checkpoint: it has no config.json.",
        hint="Correct `base` in the recipe, or give base=DIRECTORY on the command line. A model of the "
        "Hugging Face hub is named OWNER/NAME, after `hf download OWNER/NAME`.",
    )
