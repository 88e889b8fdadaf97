"""A character language model, trained for 60 CPU-seconds: bits per character on text that it has not seen.

The text is Python's manual, sorted by topic and joined; the last 10 % are held out. Sizes and learning
rates were chosen with --validate, which leaves the held-out text alone: it trains on the first 81 % and
judges the next 9 %. Every held-out character is judged, in windows of 128 that do not overlap: a
prediction sees those of the 128 characters before it that are in its window, at least one. Time is that of
`time.process_time` on one thread, for batches, passes and updates, not for evaluation. bfloat16 is used where
the CPU has it.
"""

import argparse
import math
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace

import torch
import torch.nn.functional as F
from common import Row, show
from torch import Tensor, nn

from course_lib.attention import scaled_dot_product_attention
from course_lib.data import characters
from course_lib.decoder import GPT, GPTConfig
from course_lib.device import has_bfloat16
from course_lib.objectives import token_loss
from course_lib.training import TrainingConfig, train

BAR = 0.98  # times the bits of torch's fused LSTM, at most: bits alone depend on the machine
T, BATCH = 128, 8
# The clock says how many steps there are: those here only say where on their way the learning rates are.
MUON = TrainingConfig(
    steps=1000,
    warmup_steps=50,
    learning_rate=4e-3,
    muon_learning_rate=0.02,
    mixed_precision=True,
)
ADAMW = replace(MUON, muon_learning_rate=None)
LSTM = replace(ADAMW, mixed_precision=False)


def transformer(vocab_size: int) -> nn.Module:
    """GPT's layers with rotary positions: as many as the time is enough for.

    0.8 million parameters where the CPU multiplies in bfloat16, 0.24 million where it does not.
    """
    quick = has_bfloat16(torch.device("cpu"))
    sizes = {"d_model": 80, "n_layers": 3, "activation": "gelu"}
    if quick:
        sizes = {"d_model": 128, "n_layers": 4}
    config = GPTConfig(vocab_size=vocab_size, max_seq_len=T, n_heads=2, positions="rotary", **sizes)
    model = GPT(config)
    if quick:
        model.use_attention(explicit_attention)
    return model


def explicit_attention(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> Tensor:
    """At this length and in bfloat16 plain products are quicker than torch's fused attention."""
    return scaled_dot_product_attention(q, k, v, mask, fused=False)


def recurrent(vocab_size: int) -> nn.Module:
    """torch's fused LSTM: one layer of 1.7 million parameters."""
    from course_lib.recurrent import RecurrentLM

    return RecurrentLM(vocab_size, 448, 1, "lstm")


def bits_per_character(model: nn.Module, text: Tensor, start: int) -> float:
    """Mean surprise at text[start:], in windows of T that do not overlap."""
    model.eval()
    nats = 0.0
    with torch.inference_mode():
        for inputs, targets in judged_windows(text, start):
            logits = model(inputs)
            nats += F.cross_entropy(logits.flatten(0, 1), targets.flatten(), reduction="sum").item()
    return nats / (len(text) - start) / math.log(2)


def judged_windows(text: Tensor, start: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Inputs and targets, 64 windows at a time; the last window may be shorter than T."""
    inputs = text[start - 1 : -1]
    targets = text[start:]
    whole = len(targets) // T * T
    yield from zip(
        inputs[:whole].view(-1, T).split(64),
        targets[:whole].view(-1, T).split(64),
        strict=True,
    )
    if whole < len(targets):
        yield inputs[None, whole:], targets[None, whole:]


def run(
    make: Callable[[int], nn.Module],
    config: TrainingConfig,
    seed: int,
    seconds: float,
    *,
    validate: bool,
) -> float:
    """Train a model and judge it."""
    table, training, held_out = characters()
    if validate:
        end = len(training) * 9 // 10
        training, held_out = training[:end], training[end:]
    ids = torch.cat([training, held_out])
    end = len(training)
    torch.manual_seed(seed)
    model = make(len(table))
    places = torch.arange(T + 1)

    def batch(step: int) -> Tensor:
        return ids[torch.randint(end - T, (BATCH, 1)) + places]

    def loss(model: nn.Module, batch: Tensor) -> Tensor:
        return token_loss(model(batch[:, :-1]), batch[:, 1:])

    start = time.process_time()

    def clock(step: int) -> float:
        return config.steps * (time.process_time() - start) / seconds

    history = train(model, batch, loss, config, clock=clock, progress=False)
    bits = bits_per_character(model, ids, end)
    print(f"  seed {seed}: {bits:.3f} bits, {len(history.losses)} steps, {make.__name__}", flush=True)
    return bits


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=3, help="seeds (default: %(default)s)")
    parser.add_argument(
        "--seconds", type=float, default=60.0, help="CPU time of training (default: %(default)s)"
    )
    parser.add_argument("--validate", action="store_true", help="leave the held-out text alone")
    parser.add_argument("--ours-only", action="store_true", help="without the peers")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    kinds = [
        ("GPT: Muon for the matrices", transformer, MUON),
        ("torch's fused LSTM: AdamW", recurrent, LSTM),
        ("GPT: AdamW alone", transformer, ADAMW),
    ]
    if arguments.ours_only:
        kinds = kinds[:1]
    bits: list[list[float]] = [[] for _ in kinds]
    for seed in range(arguments.rounds):
        for figures, (_, make, config) in zip(bits, kinds, strict=True):
            figures.append(run(make, config, seed, arguments.seconds, validate=arguments.validate))
    rows = [Row(what, figures) for figures, (what, _, _) in zip(bits, kinds, strict=True)]
    if len(bits) > 1:
        rows.append(Row("GPT with Muon, beside the LSTM", bits[0], bits[1], BAR, at_least=False))
    return show(f"Bits per character after {arguments.seconds:g} CPU-seconds of training", rows)


if __name__ == "__main__":
    sys.exit(main())
