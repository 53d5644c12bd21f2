"""Repositories of the Hugging Face hub, by their id OWNER/NAME or OWNER/NAME@REVISION. No torch."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mien.errors import FULL, MienError, MissingError, UsageError, unwritable
from mien.progress import note

HUB = "hf-hub:"
ID = re.compile(r"[\w.-]+/[\w.-]+")
MINE = "mien"  # library_name in the card of what mien pushed
CARD = "README.md"
WORDS = {"model": "model", "dataset": "data set"}
HTTP = ("httpx", "httpx2", "requests")  # what asks the hub, by the version of its client
EXAMPLES = {"model": "google/vit-base-patch16-224", "dataset": "uoft-cs/cifar10"}


def hint(text: str) -> str:
    """What to add where there is no file of this name, but it could be an id."""
    return f" A model on the Hugging Face hub is {HUB}{text}." if text.count("/") == 1 and not Path(text).suffix else ""


def download(
    repository: str, choose: Callable[[list[str] | None], list[str]], instead: str, kind: str = "model"
) -> Path:
    """The folder of a repository in the hub's own cache, downloaded with a progress bar and resumed where it stopped.

    repository: OWNER/NAME, of which the newest revision is taken, or OWNER/NAME@REVISION.
    choose: names of all its files -> patterns of the wanted ones; it is given None where the hub cannot be asked, and
    then the cache decides. instead: what to do without the hub. kind: 'model' or 'dataset'.
    Raises MissingError when the hub has no such repository or cannot be reached, or the extra is missing, MienError
    when the disk is full.
    """
    try:
        from huggingface_hub import snapshot_download
        from huggingface_hub.constants import HF_HUB_CACHE
        from huggingface_hub.errors import HFValidationError, RepositoryNotFoundError, RevisionNotFoundError
    except ModuleNotFoundError as error:
        raise missing_hub(f"{HUB}{repository}") from error
    name, _, revision = repository.partition("@")
    note(f"Looking for {repository} on the Hugging Face hub")
    try:
        wanted = choose(_files_of(name, revision or None, kind))
        return Path(snapshot_download(name, revision=revision or None, repo_type=kind, allow_patterns=wanted))
    except RevisionNotFoundError as error:
        raise MissingError(f"{HUB}{repository}: {name} has no revision {revision}. Leave @{revision} out.") from error
    except (RepositoryNotFoundError, HFValidationError) as error:
        raise MissingError(
            f"{HUB}{repository}: the hub has no such {WORDS[kind]} that you may read. An id is OWNER/NAME, such as "
            f"{HUB}{EXAMPLES[kind]}."
        ) from error
    except Exception as error:  # no network, or told to stay offline
        if isinstance(error, OSError) and error.errno in FULL:
            place = Path(HF_HUB_CACHE)
            raise unwritable(place, error, "choose another place with the environment variable HF_HOME") from error
        if not _is_of_hub(error):
            raise
        raise MissingError(
            f"{HUB}{repository} is not in the hub's cache and the hub cannot be reached ({first_line(error)}) {instead}"
        ) from error


def _files_of(repository: str, revision: str | None, kind: str) -> list[str] | None:
    """What a repository holds; None where the hub cannot be asked."""
    from huggingface_hub import list_repo_files
    from huggingface_hub.errors import HFValidationError, RepositoryNotFoundError, RevisionNotFoundError

    try:
        return list(list_repo_files(repository, revision=revision, repo_type=kind))
    except (HFValidationError, RepositoryNotFoundError, RevisionNotFoundError):
        raise
    except Exception as error:
        if not _is_of_hub(error):
            raise
        return None


def _is_of_hub(error: Exception) -> bool:
    """Whether the hub's client was refused or got no answer; every other error is a fault of the program."""
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError

    if isinstance(error, OSError) and error.filename is not None:  # a file's of this machine
        return False
    known = (HfHubHTTPError, HFValidationError, OSError, RuntimeError)  # the last of hf_xet, which moves large files
    return isinstance(error, known) or any(base.__module__.split(".")[0] in HTTP for base in type(error).__mro__)


def upload(
    repository: str,
    files: Mapping[str, Path],
    *,
    own: Collection[str],
    message: str,
    private: bool = False,
    revision: str | None = None,
    overwrite: bool = False,
) -> Any:
    """Put files into a repository as one commit, or none of them. Returns huggingface_hub's CommitInfo.

    The repository is made if it is not there. own: names of files that mien may write; those of them that are there and
    not among `files` are of an earlier push, and are removed by the same commit. All others stay.
    private: of a new repository. revision: a branch, made if it is not there. overwrite: also replace files that mien
    did not put there.
    Raises UsageError for a repository that holds another's model, or is public and was to be private; MissingError
    without a token, the right to write or a network; MienError when the hub fails, or somebody else commits meanwhile.
    """
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi, get_token

    if get_token() is None:
        raise MissingError(
            f"Pushing to {repository} needs a token that may write, of https://huggingface.co/settings/tokens. Log in "
            "with it: hf auth login, or set the environment variable HF_TOKEN."
        )
    api = HfApi()
    with _refusals(repository):
        there = _ready(api, repository, private, revision)
        present = {file.rfilename for file in there.siblings or []}
        _refuse_foreign(repository, there, present & ({*own} - {CARD}), overwrite)
        stale = [CommitOperationDelete(path_in_repo=name) for name in sorted(present & ({*own} - {*files}))]
        added = [CommitOperationAdd(path_in_repo=name, path_or_fileobj=path) for name, path in files.items()]
        return api.create_commit(
            repository, [*added, *stale], commit_message=message, revision=revision, parent_commit=there.sha
        )


def _ready(api: Any, repository: str, private: bool, revision: str | None) -> Any:
    """The repository and its branch, made if need be, as huggingface_hub's ModelInfo."""
    api.create_repo(repository, private=private or None, exist_ok=True)
    found = api.model_info(repository)
    if private and found.private is False:
        raise UsageError(
            f"{repository} is there already and public, so nothing was pushed. Make it private on the hub first, or "
            "give another name."
        )
    if revision is None:
        return found
    api.create_branch(repository, branch=revision, exist_ok=True)
    return api.model_info(repository, revision=revision)


def _refuse_foreign(repository: str, there: Any, taken: Collection[str], overwrite: bool) -> None:
    mine = there.card_data is not None and there.card_data.get("library_name") == MINE
    if taken and not mine and not overwrite:
        raise UsageError(
            f"{repository} holds {', '.join(sorted(taken))}, which mien did not put there, so nothing was pushed. Give "
            "another name, or `overwrite=True` to replace them."
        )


@contextmanager
def _refusals(repository: str) -> Iterator[None]:
    """Say in one sentence why the hub takes nothing. A commit is all or nothing, so nothing of it is there then."""
    from huggingface_hub.errors import HfHubHTTPError

    try:
        yield
    except Exception as error:
        chain = [error, error.__cause__, error.__context__]  # the library says some refusals in errors of its own
        refused = next((each for each in chain if isinstance(each, HfHubHTTPError)), None)
        if refused is None and not _is_of_hub(error):
            raise
        raise _told(repository, refused or error, refused.response.status_code if refused else 0) from error


def _told(repository: str, error: BaseException, status: int) -> MienError:
    """status: that of HTTP, 0 where no answer came."""
    nothing = "Nothing was pushed"
    said = first_line(getattr(error, "server_message", None) or error)
    owner = repository.partition("/")[0]
    if status == 401:
        return MissingError(f"{nothing}: the hub does not accept the token (401). Log in again: hf auth login")
    if status == 403:
        return MissingError(
            f"{nothing}: the token may not write to {repository} (403). Take one with the right to write to {owner}'s "
            "repositories, or give an OWNER that is yours."
        )
    if status == 404:
        return MissingError(f"{nothing}: the hub finds no {repository}, or no {owner} to make it for (404).")
    if status in (409, 412):
        return MienError(f"{nothing}: somebody else changed {repository} in the meantime ({status}). Push again.")
    if status >= 500 or status == 429:
        return MienError(f"{nothing}: the hub fails at the moment ({status}). Push again later.")
    if status >= 400 or isinstance(error, ValueError):
        return UsageError(f"{nothing}: the hub refuses it ({said.rstrip('.')}).")
    return MissingError(f"{nothing}: the hub cannot be reached ({said.rstrip('.')}). Push again once it can.")


def missing_hub(what: str) -> MissingError:
    """What to install where huggingface_hub is not there."""
    return MissingError(f"{what} needs the 'hub' extra: pip install 'mien[hub]'")


def first_line(error: BaseException | str) -> str:
    """The first line of what an error says, as a sentence."""
    text = (str(error).strip() or type(error).__name__).splitlines()[0]
    return text if text.endswith(".") else f"{text}."
