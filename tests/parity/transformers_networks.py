"""Small image classifiers of transformers that mien has no network for, written as it writes them."""

import json

import torch
from noise_pictures import LABELS

SMALL = {"num_labels": 3, "image_size": 32}
NETWORKS = {
    "swin": {"embed_dim": 12, "depths": [1, 1], "num_heads": [2, 3], "window_size": 4, "patch_size": 4},
    "beit": {"hidden_size": 24, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 40}
    | {"patch_size": 8, "use_relative_position_bias": True},
    "convnext": {"hidden_sizes": [8, 12, 16, 20], "depths": [1, 1, 1, 1]},
    "resnet": {"embedding_size": 8, "hidden_sizes": [8, 12, 16, 20], "depths": [1, 1, 1, 1], "layer_type": "basic"},
    "mobilevit": {"hidden_sizes": [12, 16, 20], "neck_hidden_sizes": [8, 8, 12, 12, 16, 16, 20]}
    | {"num_attention_heads": 2},
    "vit": {"hidden_size": 24, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 40}
    | {"patch_size": 8},
}  # fmt: skip
PROCESSOR = {
    "image_processor_type": "ViTImageProcessor", "do_resize": True, "size": {"height": 32, "width": 32}, "resample": 3,
    "do_rescale": True, "rescale_factor": 1 / 255, "do_normalize": True, "image_mean": [0.4, 0.5, 0.6],
    "image_std": [0.2, 0.3, 0.25],
}  # fmt: skip


def saved(kind, folder, **config):
    """Write a network with random weights as transformers does, with config.json and processor; returns it."""
    import transformers

    torch.manual_seed(1)
    made = transformers.AutoConfig.for_model(kind, **{**SMALL, **NETWORKS[kind], **config})
    made.id2label = dict(enumerate(LABELS))
    network = transformers.AutoModelForImageClassification.from_config(made).eval()
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if parameter.ndim > 1 or "bias" in name:
                parameter.normal_(std=0.4 if parameter.ndim > 1 else 0.2)
    network.save_pretrained(folder)
    (folder / "preprocessor_config.json").write_text(json.dumps(PROCESSOR))
    return network
