"""config.json and preprocessor_config.json of transformers' ViT and DeiT: what of them changes an answer.

Parity with transformers: tests/parity/test_settings.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, get_args

from mien.preprocessing import Interpolation
from mien.pretrained.checkpoint import Scale, one_or_each
from mien.pretrained.foreign import Foreign
from mien.progress import note

CONFIG, PROCESSOR = "config.json", "preprocessor_config.json"
DEIT = {"do_center_crop": True, "size": 256, "crop_size": 224, "resample": 3}  # transformers' defaults for its DeiT
KINDS = ("vit", "deit")
ACTIVATIONS = {
    **dict.fromkeys(("gelu", "gelu_python"), "gelu"),
    **dict.fromkeys(("gelu_new", "gelu_fast", "gelu_pytorch_tanh", "gelu_accurate"), "gelu_tanh"),
    **dict.fromkeys(("silu", "swish"), "silu"),
    "quick_gelu": "quick_gelu",
    "relu": "relu",
}  # transformers' names of an activation -> ours
SIZES = {
    "hidden_size": "embed_dim",
    "num_hidden_layers": "depth",
    "num_channels": "in_chans",
    "qkv_bias": "qkv_bias",
}  # what the weights say too
# What is read below, what only training or other tasks read, and what says how the file came about.
KNOWN_IN_CONFIG = {
    *SIZES,
    *("model_type", "architectures", "auto_map", "quantization_config", "pruned_heads", "problem_type"),
    *("hidden_act", "layer_norm_eps", "num_attention_heads", "intermediate_size", "image_size", "patch_size"),
    *("pooler_act", "pooler_output_size", "id2label", "label2id", "num_labels", "preprocessor"),
    *("hidden_dropout_prob", "attention_probs_dropout_prob", "initializer_range", "encoder_stride"),
    *("transformers_version", "torch_dtype", "dtype", "_name_or_path", "name_or_path", "return_dict", "use_cache"),
    *("output_hidden_states", "output_attentions", "torchscript", "use_bfloat16", "tf_legacy_loss", "is_decoder"),
    *("is_encoder_decoder", "cross_attention_hidden_size", "add_cross_attention", "tie_encoder_decoder"),
    *("tie_word_embeddings", "chunk_size_feed_forward", "finetuning_task", "task_specific_params", "tokenizer_class"),
    *("prefix", "bos_token_id", "pad_token_id", "eos_token_id", "sep_token_id", "decoder_start_token_id"),
    *("max_length", "min_length", "do_sample", "early_stopping", "num_beams", "num_beam_groups", "temperature"),
    *("top_k", "top_p", "typical_p", "repetition_penalty", "length_penalty", "no_repeat_ngram_size"),
    *("encoder_no_repeat_ngram_size", "bad_words_ids", "num_return_sequences", "output_scores", "diversity_penalty"),
    *("return_dict_in_generate", "forced_bos_token_id", "forced_eos_token_id", "remove_invalid_values"),
    *("exponential_decay_length_penalty", "suppress_tokens", "begin_suppress_tokens", "attn_implementation"),
}
KNOWN_IN_PROCESSOR = {
    *("image_processor_type", "feature_extractor_type", "processor_class", "auto_map", "do_resize", "size"),
    *("resample", "do_center_crop", "crop_size", "crop_pct", "do_rescale", "rescale_factor", "do_normalize"),
    *("image_mean", "image_std", "do_convert_rgb", "default_to_square", "return_tensors", "data_format"),
    *("input_data_format", "device", "disable_grouping", "pad_size", "do_reduce_labels", "_valid_processor_keys"),
    *("do_pad", "do_flip_channel_order", "do_grayscale", "do_align_long_axis", "do_thumbnail", "rescale_offset"),
    *("do_random_cropping", "size_divisor", "size_divisibility", "backend"),
}


def of_config(config: Mapping[str, Any], source: str) -> Foreign:
    """What config.json says of the network. Raises DataError for another architecture, or code."""
    found = Foreign(config, source, CONFIG)
    found.only({"model_type": KINDS}, f"mien's ViT reads {' and '.join(KINDS)}")
    found.only({"auto_map": ({},)}, "it names code that belongs to the network, which is not run")
    found.only({"quantization_config": ({},)}, "its weights are packed. Ask for those in full precision")
    found.only({"pruned_heads": ({},)}, "mien's blocks have all their heads")
    found.only(
        {"problem_type": ("single_label_classification",)},
        "mien's probabilities are those of classes that exclude each other. Take the line out to use its backbone",
    )
    found.only({"pooler_act": ("tanh",)}, "mien's ViT has the tanh only")
    found.only({"hidden_act": tuple(ACTIVATIONS)}, f"mien's ViT has {', '.join(ACTIVATIONS)}")
    found.name_rest(KNOWN_IN_CONFIG)
    return found


def processor_of(config: Mapping[str, Any], source: str) -> Foreign:
    """preprocessor_config.json, with what transformers takes for granted of its kind; {} where there is none."""
    found = config.get("preprocessor", {})
    kind = str(found.get("image_processor_type") or found.get("feature_extractor_type"))
    return Foreign({**(DEIT if kind.startswith("DeiT") else {}), **found}, source, PROCESSOR)


def sizes_of(config: Foreign) -> dict[str, Any]:
    """The sizes that no weight tells, where they are not the defaults of mien's ViT; transformers' default eps."""
    act = ACTIVATIONS[config.values.get("hidden_act") or "gelu"]
    eps = config.number("layer_norm_eps", 1e-12)
    return ({} if act == "gelu" else {"act_layer": act}) | ({} if eps == 1e-6 else {"norm_eps": eps})


def refuse_other_sizes(config: Foreign, sizes: Mapping[str, Any]) -> None:
    """Raise DataError where config.json and the weights are of two networks."""
    for theirs, ours in SIZES.items():
        config.same(theirs, sizes[ours])
    config.same("intermediate_size", round(sizes["mlp_ratio"] * sizes["embed_dim"]))
    for theirs, ours in (("image_size", "img_size"), ("patch_size", "patch_size")):
        if config.side(theirs, sizes[ours]) != sizes[ours]:
            config.same(theirs, sizes[ours])


def labels_of(config: Foreign, num_classes: int) -> tuple[str, ...]:
    """Names of the head's classes, () where they are not told, or there is no head."""
    names = config.part("id2label").values
    if not names or not num_classes:
        return ()
    try:
        numbers = sorted(names, key=int)
    except ValueError:
        config.refuse("id2label", "its keys must be the numbers of the classes")
    if [int(number) for number in numbers] != list(range(num_classes)):
        config.refuse("id2label", f"the head has {num_classes} classes, which are 0 to {num_classes - 1}")
    return tuple(str(names[number]) for number in numbers)


def scale_of(processor: Foreign) -> tuple[Scale, Scale]:
    """Mean and deviation of pixels in 0..1; theirs are of whatever do_rescale and rescale_factor make of 0..255."""
    factor = processor.number("rescale_factor", 1 / 255) if processor.switch("do_rescale", True) else 1.0
    mean, std = (processor.colours(key, (0.5,)) for key in ("image_mean", "image_std"))
    if not processor.switch("do_normalize", True):
        mean, std = (0.0,), (1.0,)
    unit = 255 * factor
    if abs(unit - 1) > 1e-9:
        mean, std = tuple(value / unit for value in mean), tuple(value / unit for value in std)
    return one_or_each(mean), one_or_each(std)


def pixels_of(processor: Foreign, side: int) -> dict[str, Any]:
    """How pictures become squares: `fit`, `interpolation`, `resize_size`, `rounding` of mien's Preprocessing.

    side: that of the images the weights are for. {} where nothing is said. Raises DataError for a way that mien does
    not have.
    """
    if not processor.values:
        return {}
    processor.only({"auto_map": ({},)}, "it names code that prepares pictures, which is not run")
    unread = ("do_pad", "do_flip_channel_order", "do_grayscale", "do_align_long_axis", "do_thumbnail", "rescale_offset")
    processor.only(dict.fromkeys((*unread, "do_random_cropping"), (False,)), "mien does not prepare pictures that way")
    new = [key for key, value in processor.values.items() if key.startswith("do_") and value is True]
    for key in new:
        if key not in KNOWN_IN_PROCESSOR:
            processor.refuse(key, "mien does not know what it does to pictures")
    processor.name_rest(KNOWN_IN_PROCESSOR)
    number = processor.values.get("resample", 2)
    if number not in range(6):
        processor.refuse("resample", "it is a number from 0 to 5, one of Pillow's filters")
    return {"interpolation": get_args(Interpolation)[number], **_squares(processor, side)}


def _squares(processor: Foreign, side: int) -> dict[str, Any]:
    """`fit` and `resize_size`."""
    cuts = processor.switch("do_center_crop", False)
    if not processor.switch("do_resize", True):
        if not cuts:
            note(f"{processor.source}: do_resize is false in its {PROCESSOR}: it takes pictures of {side} pixels only, "
                 "and mien fits others.")  # fmt: skip
            return {"fit": "crop"}
        processor.refuse("do_resize", "mien does not cut the middle out of pictures that it has not resized")
    size = processor.values.get("size")
    shortest = size.get("shortest_edge") if isinstance(size, Mapping) and size.keys() == {"shortest_edge"} else None
    if processor.values.get("crop_pct") is not None:
        return _by_share(processor, shortest, side)
    if shortest is None and isinstance(size, int) and not _is_square(processor):
        processor.refuse("size", "whether it is a square or the shorter side, its image processor alone knows")
    first = processor.side("size", side) if shortest is None else shortest
    last = processor.side("crop_size", side) if cuts else first
    if last != side:
        processor.refuse("crop_size" if cuts else "size", f"the weights are for images of {side} pixels")
    if first is None or first < side:
        processor.refuse("size", f"it is less than the {side} pixels that are cut out")
    if shortest is None:
        return {"fit": "stretch"} | ({"resize_size": first, "rounding": "down"} if first != side else {})
    if not cuts:
        processor.refuse("size", "what comes out is no square")
    return {"fit": "crop", "resize_size": first, "rounding": "down"}


def _by_share(processor: Foreign, shortest: int | None, side: int) -> dict[str, Any]:
    """ConvNeXt's processor: below 384 pixels the middle of a picture larger by 1 / crop_pct, else all of it."""
    if shortest != side:
        processor.refuse(
            "size", f"with crop_pct it is {{'shortest_edge': {side}}}, as the weights are for {side} pixels"
        )
    share = processor.number("crop_pct", 224 / 256)
    if share > 1:
        processor.refuse("crop_pct", "it is a share of the side, 1 at most")
    return {"fit": "stretch"} if side >= 384 else {"fit": "crop", "resize_size": int(side / share), "rounding": "down"}


def _is_square(processor: Foreign) -> bool:
    """Whether one number as `size` is both sides: so it is for ViT and DeiT, and where nothing else is said."""
    kind = str(processor.values.get("image_processor_type") or processor.values.get("feature_extractor_type") or "ViT")
    return kind.startswith(("ViT", "DeiT")) or processor.values.get("default_to_square") is True
