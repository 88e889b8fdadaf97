"""Byte-pair encoding against the Rust library `tokenizers`, one thread: training, and encoding cold.

    python benchmarks/bpe.py

The text is Python's manual (465,000 characters), the vocabulary 1,024 tokens. Cold: a fresh tokenizer encodes
the whole text as one string, so that no word is in a cache yet.
"""

import argparse
import os
import sys

os.environ.update(
    RAYON_NUM_THREADS="1", TOKENIZERS_PARALLELISM="false"
)  # before `tokenizers` starts its threads

import tokenizers
import torch
from common import Row, show
from tokenizers import models, pre_tokenizers, trainers

from course_lib.bpe import BPETokenizer
from course_lib.costs import alternate
from course_lib.data import python_topics

TEXT, VOCAB_SIZE = "".join(python_topics().values()), 1_024


def train_theirs() -> tokenizers.Tokenizer:
    """A GPT-2-style vocabulary of `tokenizers`."""
    tokenizer = tokenizers.Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=VOCAB_SIZE, initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator([TEXT], trainer)
    return tokenizer


def main() -> int:
    """Print the table. Returns the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=9)
    rounds = parser.parse_args().rounds
    torch.set_num_threads(1)

    ours, theirs = BPETokenizer.train(TEXT, VOCAB_SIZE), train_theirs()
    if ours.encode(TEXT) != theirs.encode(TEXT).ids:
        raise SystemExit("the two give different ids: there is nothing to compare")
    # One for each round and the warm-up, made beforehand: making one is not encoding.
    fresh_ours = [BPETokenizer(ours.tokens, ours.merges) for _ in range(rounds + 1)]
    fresh_theirs = [tokenizers.Tokenizer.from_str(theirs.to_str()) for _ in range(rounds + 1)]
    fresh_batch = [tokenizers.Tokenizer.from_str(theirs.to_str()) for _ in range(rounds + 1)]

    training = alternate([lambda: BPETokenizer.train(TEXT, VOCAB_SIZE), train_theirs], rounds)
    encoding = alternate(
        [
            lambda: fresh_ours.pop().encode(TEXT),
            lambda: fresh_theirs.pop().encode(TEXT).ids,
            lambda: fresh_batch.pop().encode_batch_fast([TEXT])[0].ids,
        ],
        rounds,
    )
    return show(
        f"Byte-pair encoding, {len(TEXT):,} characters, seconds",
        [
            Row(f"training {VOCAB_SIZE:,} tokens", *training, bar=2.0, at_least=False),
            Row("encoding cold, theirs: encode", *encoding[:2], bar=1.0, at_least=False),
            Row("encoding cold, theirs: encode_batch_fast", encoding[0], encoding[2]),
        ],
    )


if __name__ == "__main__":
    sys.exit(main())
