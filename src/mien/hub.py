"""Repositories of the Hugging Face hub, by their id OWNER/NAME. No torch."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from mien.errors import MissingError
from mien.progress import note

HUB = "hf-hub:"


def hint(text: str) -> str:
    """What to add where there is no file of this name, but it could be an id."""
    return f" A model on the Hugging Face hub is {HUB}{text}." if text.count("/") == 1 and not Path(text).suffix else ""


def download(repository: str, choose: Callable[[list[str] | None], list[str]], instead: str) -> Path:
    """The folder of a repository in the hub's own cache, downloaded with a progress bar and resumed where it stopped.

    choose: names of all its files -> patterns of the wanted ones; it is given None where the hub cannot be asked, and
    then the cache decides. instead: what to do without the hub.
    Raises MissingError when the hub has no such repository or cannot be reached, or the extra is missing.
    """
    try:
        from huggingface_hub import snapshot_download
        from huggingface_hub.errors import HfHubHTTPError, HFValidationError, RepositoryNotFoundError
    except ModuleNotFoundError as error:
        raise MissingError(f"{HUB}{repository} needs the 'hub' extra: pip install 'mien[hub]'") from error
    note(f"Looking for {repository} on the Hugging Face hub")
    try:
        return Path(snapshot_download(repository, allow_patterns=choose(_files_of(repository))))
    except (RepositoryNotFoundError, HFValidationError) as error:
        raise MissingError(
            f"{HUB}{repository}: the hub has no such model that you may read. An id is OWNER/NAME, such as "
            f"{HUB}google/vit-base-patch16-224."
        ) from error
    except (HfHubHTTPError, OSError, RuntimeError) as error:  # no network, or told to stay offline
        raise MissingError(
            f"{HUB}{repository} is not in the hub's cache and the hub cannot be reached ({first_line(error)}) {instead}"
        ) from error


def _files_of(repository: str) -> list[str] | None:
    """What a repository holds; None where the hub cannot be asked."""
    from huggingface_hub import list_repo_files
    from huggingface_hub.errors import HFValidationError, RepositoryNotFoundError

    try:
        return list(list_repo_files(repository))
    except (HFValidationError, RepositoryNotFoundError):
        raise
    except Exception:  # no network, in the words of whichever HTTP library
        return None


def first_line(error: BaseException) -> str:
    """The first line of what an error says, as a sentence."""
    text = (str(error) or type(error).__name__).strip().splitlines()[0]
    return text if text.endswith(".") else f"{text}."
