"""What the flow explorer says of each part of a model: why it is there, its formula, this model's sizes."""

from typing import Any

from course_lib.decoder import GPT
from course_lib.encoder import BERT

Row = tuple[str, str, str]  # a label, the name of the numbers, and whether they are of query or key heads
_NORMS = {
    "LayerNorm": "norm(x) = (x − mean) / √(variance + ε) · weight + bias",
    "RMSNorm": "norm(x) = x / √(mean of x² + ε) · weight",
}
_NO_DROPOUT = (
    "No dropout here: it sets random numbers to 0 while a model is trained, and is off when it reads."
)


def parts_list(model: GPT | BERT, n_tokens: int) -> list[dict[str, Any]]:
    """The parts in the order of the flow, each with a title, words, formula, sizes and rows of numbers."""
    blocks = _pre_block(model, n_tokens) if isinstance(model, GPT) else _post_block(model, n_tokens)
    end = _decoder_end(model, n_tokens) if isinstance(model, GPT) else _encoder_end(model)
    return [*_start(model, n_tokens), *blocks, *end]


def _part(
    zone: str, name: str, title: str, words: str, formula: str, shapes: str, *rows: Row
) -> dict[str, Any]:
    return {
        "id": name,
        "zone": zone,
        "title": title,
        "words": words,
        "formula": formula,
        "shapes": shapes,
        "rows": [list(row) for row in rows],
    }


def _start(model: GPT | BERT, n: int) -> list[dict[str, Any]]:
    config: Any = model.config
    table = f"E {config.vocab_size:,} × {config.d_model}"
    rows: list[Row] = [("E[id]", "token", "")]
    sizes = [table]
    if isinstance(model, BERT):
        formula = "x = norm(E[id] + P[place] + S[text])"
        words = (
            "Each id picks its row of a learned table; a row for its place and one for its text are added."
        )
        rows += [("P[place]", "position", ""), ("S[0]", "segment", "")]
        sizes += [f"P {config.max_seq_len:,} × {config.d_model}", f"S {config.n_segments} × {config.d_model}"]
    elif model.position_embedding is not None:
        formula = "x = E[id] + P[place]"
        words = "Each id picks its row of a learned table, and a vector for its place is added."
        rows.append(("P[place]", "position", ""))
        sizes.append(f"P {config.max_seq_len:,} × {config.d_model}")
    else:
        formula = "x = E[id]"
        words = "Each id picks its row of a learned table. " + _NO_PLACE[config.positions]
    rows.append(("x", "entered", ""))
    sizes.append(f"x {n} × {config.d_model}")
    return [
        _part(
            "model",
            "tokens",
            "Tokens",
            "The tokenizer cuts the text into pieces that it knows; each has a number, its id.",
            "text → ids",
            f"ids: {n} whole numbers from 0 to {config.vocab_size - 1:,}",
        ),
        _part("model", "embedding", "Embedding", f"{words} {_NO_DROPOUT}", formula, "; ".join(sizes), *rows),
    ]


_NO_PLACE = {
    "rotary": "Its place is not in it: each layer turns queries and keys by their place.",
    "alibi": "Its place is not in it: each layer takes the distance off the scores.",
    "relative": "Its place is not in it: each layer adds a term for the distance to the scores.",
    "none": "Nothing says at which place it stands.",
}


def _pre_block(model: GPT, n: int) -> list[dict[str, Any]]:
    """Norm, attention, add; norm, MLP, add."""
    d, norm = model.config.d_model, _norm_formula(model)
    return [
        _stream(n, d),
        _part(
            "block",
            "attention_input",
            "Norm",
            "Attention reads a normalised copy of the stream, so that long vectors do not drown short ones.",
            norm,
            f"x {n} × {d}; weight {d}",
            ("x", "stream", ""),
            ("norm(x)", "attention_input", ""),
        ),
        *_attention(model, n, "norm(x)"),
        _part(
            "block",
            "middle",
            "Add",
            "The result is added to the stream: what stood there stays. This is the residual connection.",
            "x ← x + attention",
            f"x {n} × {d}",
            ("x", "stream", ""),
            ("attention", "attention", ""),
            ("sum", "middle", ""),
        ),
        _part(
            "block",
            "mlp_input",
            "Norm",
            "The MLP, too, reads a normalised copy.",
            norm,
            f"x {n} × {d}; weight {d}",
            ("x", "middle", ""),
            ("norm(x)", "mlp_input", ""),
        ),
        _mlp(model, n),
        _part(
            "block",
            "output",
            "Add",
            "What the MLP gives is added, too, and the stream goes on to the next layer.",
            "x ← x + MLP",
            f"x {n} × {d}",
            ("x", "middle", ""),
            ("MLP", "feed_forward", ""),
            ("sum", "output", ""),
        ),
    ]


def _post_block(model: BERT, n: int) -> list[dict[str, Any]]:
    """Attention, add, norm; MLP, add, norm."""
    d, norm = model.config.d_model, _norm_formula(model)
    return [
        _stream(n, d),
        *_attention(model, n, "x"),
        _part(
            "block",
            "middle",
            "Add, norm",
            "The result is added to the stream (the residual connection), then the sum is normalised.",
            f"x ← norm(x + attention); {norm}",
            f"x {n} × {d}",
            ("x", "stream", ""),
            ("attention", "attention", ""),
            ("norm of the sum", "middle", ""),
        ),
        _mlp(model, n),
        _part(
            "block",
            "output",
            "Add, norm",
            "What the MLP gives is added, too; the normalised sum goes on to the next layer.",
            f"x ← norm(x + MLP); {norm}",
            f"x {n} × {d}",
            ("x", "middle", ""),
            ("MLP", "feed_forward", ""),
            ("norm of the sum", "output", ""),
        ),
    ]


def _stream(n: int, d: int) -> dict[str, Any]:
    return _part(
        "block",
        "stream",
        "Stream in",
        "One vector for each token enters. Every part of the layer reads it and adds to it.",
        "x",
        f"x {n} × {d}",
        ("x", "stream", ""),
    )


def _attention(model: GPT | BERT, n: int, read: str) -> list[dict[str, Any]]:
    """From the projections to the last one."""
    d = model.config.d_model
    layer = _first(model).attention
    heads, kv, k = layer.n_heads, layer.n_kv_heads, layer.d_head
    shared = "" if kv == heads else f" {heads // kv} query heads share a head of keys and values."
    bias = "" if layer.q_proj.bias is None else " + b"
    parts = [
        _part(
            "block",
            "qkv",
            "Q, K, V",
            "Three learned matrices make of each vector a query (what it looks for), a key (what it is found "
            f"by) and a value (what it hands over), for each head its own.{shared}",
            f"q = {read} Wq{bias}; k = {read} Wk{bias}; v = {read} Wv{bias}",
            f"Wq {d} × {heads} · {k}; Wk and Wv {d} × {kv} · {k}; q {heads} × {n} × {k}",
            ("q", "q", "q"),
            ("k", "k", "kv"),
            ("v", "v", "kv"),
        )
    ]
    if layer.rotary is not None:
        parts.append(
            _part(
                "block",
                "rotation",
                "Rotation",
                "Each pair of coordinates of queries and keys is turned by an angle that grows with the "
                "place, so that q · k knows how far apart two tokens stand. Lengths stay.",
                "(a, b) → (a cos − b sin, a sin + b cos), angle = place / base^(2i/K)",
                f"q {heads} × {n} × {k}; k {kv} × {n} × {k}; base {layer.rotary.base:,.0f}",
                ("q", "q", "q"),
                ("q turned", "turned_q", "q"),
                ("k", "k", "kv"),
                ("k turned", "turned_k", "kv"),
            )
        )
    masked = " A mask hides what comes later." if layer.causal else " Nothing is masked: all see all."
    added = "" if layer.score_bias is None else " + term of the distance"
    allowed = " where key ≤ query" if layer.causal else ""
    parts += [
        _part(
            "block",
            "weights",
            "Attention",
            f"Each query meets each key; softmax makes of a row of scores shares that sum to 1.{masked} "
            f"{_NO_DROPOUT}",
            f"A = softmax(q kᵀ / √{k}{added}){allowed}",
            f"A {heads} × {n} × {n}",
        ),
        _part(
            "block",
            "mix",
            "Mix",
            "Each head mixes the values by its weights; the mixes of all heads stand side by side.",
            "mix = A v; concatenated = [mix of head 0, ..., mix of the last head]",
            f"mix {heads} × {n} × {k}; concatenated {n} × {heads * k}",
            ("mix", "mix", "q"),
            ("concatenated", "concatenated", ""),
        ),
        _part(
            "block",
            "attention",
            "Output",
            "One more matrix brings what the heads found back into the stream's coordinates.",
            f"attention = concatenated Wo{bias}",
            f"Wo {heads * k} × {d}; attention {n} × {d}",
            ("attention", "attention", ""),
        ),
    ]
    return parts


def _mlp(model: GPT | BERT, n: int) -> dict[str, Any]:
    mlp, config = _first(model).feed_forward, model.config
    d, f = config.d_model, mlp.up_proj.out_features
    read = "norm(x)" if isinstance(model, GPT) else "x"
    rows: list[Row] = [("widened", "up", "")]
    if mlp.activation == "swiglu":
        formula = f"hidden = silu({read} Wgate) · ({read} Wup); MLP = hidden Wdown"
        rows.append(("gate", "gate", ""))
        sizes = f"Wgate and Wup {d} × {f}; Wdown {f} × {d}"
        words = "Each token alone: widened, let through by a gate, narrowed again."
    else:
        name = mlp.activation.replace("gelu_tanh", "gelu")
        bias = "" if mlp.up_proj.bias is None else " + b"
        formula = f"hidden = {name}({read} Wup{bias}); MLP = hidden Wdown{bias}"
        sizes = f"Wup {d} × {f}; Wdown {f} × {d}"
        words = f"Each token alone: widened, bent ({name}), narrowed again."
    rows += [("hidden", "hidden", ""), ("MLP", "feed_forward", "")]
    return _part(
        "block", "mlp", "MLP", f"{words} {_NO_DROPOUT}", formula, f"{sizes}; hidden {n} × {f}", *rows
    )


def _decoder_end(model: GPT, n: int) -> list[dict[str, Any]]:
    config: Any = model.config
    tied = "the embedding table itself, used the other way" if config.tied else "a learned table"
    return [
        _part(
            "end",
            "norm",
            "Last norm",
            "One more norm follows the last layer.",
            _norm_formula(model),
            f"x {n} × {config.d_model}",
            ("norm(x)", "norm", ""),
        ),
        _part(
            "end",
            "logits",
            "Logits",
            f"The vector meets every token of the vocabulary: {tied}. The score is their dot product.",
            "logits = norm(x) Eᵀ" if config.tied else "logits = norm(x) Wᵀ",
            f"logits {n} × {config.vocab_size:,}; the next word needs the last row only",
            ("norm(x)", "norm", ""),
        ),
        _part(
            "end",
            "probabilities",
            "Probabilities",
            "Scores are divided by the temperature; top-k and top-p leave out the unlikely; what is left "
            "sums to 1, and the next token is drawn from it.",
            "p = softmax(logits / temperature), cut by top-k, then by top-p",
            f"p: {config.vocab_size:,} numbers that sum to 1",
        ),
    ]


def _encoder_end(model: BERT) -> list[dict[str, Any]]:
    d = model.config.d_model
    return [
        _part(
            "end",
            "sentence",
            "Sentence vector",
            "Nothing is predicted: the mean of all tokens' vectors, divided by its length, stands for the "
            "sentence. Alike sentences have vectors with a large dot product.",
            "e = m / |m|, m = mean of the tokens' vectors",
            f"e: {d} numbers",
            ("m", "mean", ""),
            ("e", "sentence", ""),
        )
    ]


def _norm_formula(model: GPT | BERT) -> str:
    return _NORMS[type(_first(model).attention_norm).__name__]


def _first(model: GPT | BERT) -> Any:
    """The first block: all are alike in size."""
    return model.stack.blocks[0]
