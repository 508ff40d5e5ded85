"""A finished directory to the Hugging Face hub, where somebody asks for it: nothing else goes out."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from common.errors import UserError
from finetune.files.unreadable import HUB_ID
from finetune.progress import Progress, Report, finished


def require_hub(repository: str | None) -> None:
    """Asked before the work: raises UserError unless the hub knows who is to push; None asks nothing."""
    if repository is None:
        return
    if not HUB_ID.fullmatch(repository):
        raise UserError(f"{repository} is no name of a repository.", hint="Such a name is OWNER/NAME.")
    from huggingface_hub import HfApi

    with _errors_told(repository):
        HfApi().whoami()


def push(directory: Path, repository: str | None, report: Report) -> None:
    """Copy `directory` to the model `repository`, private where it is new; None does nothing."""
    if repository is None:
        return
    from huggingface_hub import HfApi

    stage = f"{directory.name}: to the hub"
    report(Progress(stage, 0.0, repository))
    again = f"{directory} is finished; `hf upload {repository} {directory}` sends it once that is mended."
    with _errors_told(repository, again):
        HfApi().create_repo(repository, private=True, exist_ok=True)
        HfApi().upload_folder(repo_id=repository, folder_path=directory)
    report(finished(stage, repository))


@contextmanager
def _errors_told(repository: str, hint: str = "") -> Iterator[None]:
    """hint: for what the hub refuses, or what does not reach it."""
    import httpx2
    from huggingface_hub.errors import LocalTokenNotFoundError, OfflineModeIsEnabled

    try:
        yield
    except LocalTokenNotFoundError as error:
        raise UserError(
            f"Nothing was pushed to {repository}: the hub does not know who asks.",
            hint="`hf auth login`, or set HF_TOKEN.",
        ) from error
    except OfflineModeIsEnabled as error:
        raise UserError(f"Nothing was pushed to {repository}: HF_HUB_OFFLINE is set.") from error
    except (httpx2.HTTPError, OSError) as error:
        reason = " ".join(str(error).split())
        raise UserError(f"{repository} could not be pushed to: {reason}.", hint=hint) from error
