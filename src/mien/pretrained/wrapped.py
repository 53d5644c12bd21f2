"""The network's tensors in what training scripts save: out of containers, and from behind prefixes."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from mien.errors import DataError
from mien.progress import note
from mien.words import count

Weights = dict[str, Tensor]

# Which of several networks in a file is meant, the first that is there: an average of the weights, as timm takes it,
# the teacher, which DINO evaluates, then the network itself.
AVERAGES = ("state_dict_ema", "model_ema", "ema_state_dict", "ema_model", "params_ema", "ema", "teacher")
ITSELF = ("state_dict", "model_state_dict", "model", "net", "network", "params", "weights", "student", "encoder_q")
BY_WRAPPERS = re.compile(r"\b(_orig_mod|_fsdp_wrapped_module|_checkpoint_wrapped_module)\.")  # wherever they wrap
# One tensor that each source's network has; what stands before it is no part of the network.
MARKER = re.compile(
    r"(?:^|(?<=\.))(blocks\.0\.attn\.qkv\.weight|layer1\.0\.conv1\.weight"
    r"|encoder\.layers\.encoder_layer_0\.ln_1\.weight"
    r"|((vit|deit)\.)?embeddings\.patch_embeddings\.projection\.weight)$"
)


def unpack(content: Any, path: Path) -> Weights:
    """The state dict in what torch.load gives. Raises DataError where there is none, or it is not clear which."""
    found = _candidates(content)
    if not found:
        raise DataError(f"{path} {_what_it_is(content)}. Save the network's: torch.save(model.state_dict(), FILE).")
    chosen = _chosen(found, path)
    if len(found) > 1:
        note(f"{path} holds {_listed(list(found))}; {chosen} is taken.")
    return found[chosen]


def bare(weights: Weights, source: str) -> Weights:
    """The tensors of a network by its own names: without what wrapped it, compiled it or held it.

    Raises DataError where several networks have the same claim.
    """
    weights = {BY_WRAPPERS.sub("", name): value for name, value in weights.items()}
    prefixes = {name[: match.start()]: name for name in weights if (match := MARKER.search(name))}
    if not prefixes or "" in prefixes:
        return weights
    prefix = _chosen({each.strip("."): each for each in prefixes}, source) + "."
    inner = {name.removeprefix(prefix): value for name, value in weights.items() if name.startswith(prefix)}
    rest = [name for name in weights if not name.startswith(prefix)]
    if rest:
        beside = count(len(rest), "tensor")
        note(f"{source}: the network is {prefix[:-1]}; left out: {beside} beside it, {_listed(rest)}.")
    return inner


def _candidates(content: Any) -> dict[str, Weights]:
    """The state dicts in a file, by the keys that lead to them, with dots between; '' for the file itself."""
    if not isinstance(content, Mapping):
        return {}
    own = {str(name): value for name, value in content.items() if isinstance(value, Tensor)}
    if own and not any(isinstance(value, Mapping) for value in content.values()):
        return {"": own}
    found = {}
    for key, value in content.items():
        for inner, weights in _candidates(value).items():
            found[f"{key}.{inner}".strip(".")] = weights
    return found


def _chosen(found: Mapping[str, Any], source: str | Path) -> str:
    """The name of the network that is meant."""
    for word in (*AVERAGES, *ITSELF):
        for name in found:
            if word in name.split("."):
                return name
    if len(found) == 1:
        return next(iter(found))
    raise DataError(f"{source} holds several networks: {_listed(list(found))}. Save the one that is meant.")


def _what_it_is(content: Any) -> str:
    """In place of a network."""
    if isinstance(content, Tensor):
        return f"holds one tensor {tuple(content.shape)}, no network's"
    if not isinstance(content, Mapping):
        return f"holds a {type(content).__name__}, no dictionary of tensors"
    if not content:
        return "holds an empty dictionary, no tensors"
    keys = [str(key) for key in content]
    if {"state", "param_groups"} <= set(keys):
        return "holds the state of an optimizer, no network's tensors"
    return f"holds {_listed(keys)}, but no network's tensors"


def _listed(names: Sequence[str]) -> str:
    shown = [name or "tensors" for name in names[:4]]
    return ", ".join(shown) + (f" and {len(names) - 4} more" if len(names) > 4 else "")
