"""Hugging Face's Llama and ViT in our classes: no lesson loads them, the tests compare with them."""

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from course_lib import pretrained
from course_lib.decoder import GPT, GPTConfig, LlamaConfig
from course_lib.encoder import ViT, ViTConfig


def llama_from_hf(tensors: Mapping[str, Tensor], config: Mapping[str, Any]) -> GPT:
    """A `GPT` from the weights of `LlamaForCausalLM`."""
    rope = config.get("rope_parameters") or config.get("rope_scaling") or {}
    config = {"tie_word_embeddings": False, **config, **rope}
    ours = LlamaConfig(**pretrained._fields(config, GPTConfig, "llama"))
    model = pretrained._build(GPT, ours, tensors.items())
    model.rotary.interleaved = False  # their pairs are (0, K/2), (1, K/2 + 1), ...
    return model


def vit_from_hf(tensors: Mapping[str, Tensor], config: Mapping[str, Any]) -> ViT:
    """A `ViT` from the weights of `ViTForImageClassification`."""
    classifier = tensors.get("classifier.weight")
    n_classes = 1 if classifier is None else len(classifier)
    fields = pretrained._fields(config, ViTConfig, "vit", n_classes=n_classes)
    height, width = _height_and_width(fields["patch_size"])
    if height != width:
        raise ValueError(f"patches must be square; the configuration has a patch_size of {(height, width)}")
    fields["patch_size"] = height
    fields["image_size"] = _height_and_width(fields["image_size"])
    # A convolution whose stride is its width is a matrix that reads flattened patches.
    flat = ((name, t.flatten(1) if t.ndim == 4 else t) for name, t in tensors.items())
    return pretrained._build(ViT, ViTConfig(**fields), flat)


def _height_and_width(size: int | Sequence[int]) -> tuple[int, int]:
    """One number stands for both."""
    if isinstance(size, int):
        return size, size
    height, width = size
    return height, width
