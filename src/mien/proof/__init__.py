"""Whether what an export or a run says of itself is so: each claim is worked out again.

Hashes, counts and scores are judged on the very images that they were made of, known by their hash. On others they
cannot be checked; what was found there is told, and whether the intervals agree.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from mien.errors import DataError
from mien.proof.checks import checked
from mien.proof.claimant import export_and_data, run_and_data
from mien.proof.verdict import CANNOT, Claim, Proof, Verdict
from mien.runs import is_run
from mien.runs.data import OtherImagesError
from mien.runs.folder import refuse_without_data
from mien.runtime.network import Network
from mien.verify import verify

__all__ = ["Claim", "Proof", "Verdict", "prove"]


def prove(
    where: str | Path,
    data: Mapping[str, Any],
    *,
    split: Literal["validation", "test"] = "validation",
    robustness: bool = False,
) -> Proof:
    """Work out again what an export or a run says of itself.

    where: an .onnx file, 'mien:base', one on the hub, or a run. data: settings of the data section, `path` above all;
    what is not given is as the file says. split: 'test' reads the test split too, where there are scores of it, and
    notes that in the run. robustness: score changed images too, which takes twenty times as long as all else.
    Raises MissingError for a file or images that are not there, DataError for classes that the network does not know.
    """
    if is_run(Path(where)):
        refuse_without_data(Path(where))
        if problems := verify(Path(where)):
            return Proof(str(where), problems, [])
        try:
            claimant, store = run_and_data(Path(where))
        except OtherImagesError as error:
            return Proof(str(where), [], [Claim("images", "those of its training", None, CANNOT, str(error))])
    else:
        try:
            network = Network.open(where)
        except DataError as error:
            return Proof(str(where), [str(error)], [])
        claimant, store = export_and_data(where, network, data)
    try:
        return Proof(str(where), [], checked(claimant, store, split == "test", robustness))
    except (KeyError, TypeError) as error:
        raise DataError(f"The card of {where} is incomplete: it lacks {error}. Export the run again.") from error
