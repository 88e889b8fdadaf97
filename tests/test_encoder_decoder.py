"""The Transformer of 2017: against torch with the same weights, and on sentences that need both stacks."""

import math
import re
from functools import cache

import pytest
import torch
import torch.nn.functional as F
from tensors import assert_close, load_torchs_layer, randomise, seeded
from torch import nn

from course_lib import probing
from course_lib.data import batches, translations
from course_lib.encoder_decoder import EncoderDecoder, EncoderDecoderConfig
from course_lib.positions import sinusoidal
from course_lib.training import TrainingConfig, train

B, S, T, CONTEXT, D, LAYERS, HEADS, D_FF = 2, 11, 7, 23, 30, 2, 3, 37
V_SOURCE, V_TARGET = 101, 89
SIZES = {"max_seq_len": CONTEXT, "d_model": D, "n_layers": LAYERS, "n_heads": HEADS, "d_ff": D_FF}


def make(**changes):
    sizes = {"source_vocab_size": V_SOURCE, "target_vocab_size": V_TARGET}
    return randomise(EncoderDecoder(EncoderDecoderConfig(**(sizes | SIZES | changes))).double())


def random_pair(t=T, s=S):
    """Source, target, and a mask with padding inside and at the end of the source."""
    generator = seeded()
    source = torch.randint(V_SOURCE, (B, s), generator=generator)
    target = torch.randint(V_TARGET, (B, t), generator=generator)
    mask = torch.ones(B, s, dtype=torch.bool)
    mask[0, -3:] = False
    mask[1, 1:2] = False
    return source, target, mask


# ---------------------------------------------------------------------------------------------- against torch


@pytest.mark.parametrize("padded", [False, True])
def test_equals_torch(padded):
    ours = make()
    options = {"dropout": 0.0, "activation": "relu", "batch_first": True, "dtype": torch.float64}
    encoder_layer = nn.TransformerEncoderLayer(D, HEADS, D_FF, **options)
    decoder_layer = nn.TransformerDecoderLayer(D, HEADS, D_FF, **options)
    encoder = randomise(nn.TransformerEncoder(encoder_layer, LAYERS, enable_nested_tensor=False))
    decoder = randomise(nn.TransformerDecoder(decoder_layer, LAYERS))
    layers = [*encoder.layers, *decoder.layers]
    for block, layer in zip([*ours.encoder.blocks, *ours.decoder], layers, strict=True):
        load_torchs_layer(block, layer)
    places = sinusoidal(CONTEXT, D).double()
    source, target, mask = random_pair()
    forbidden = torch.ones(T, T, dtype=torch.bool).triu(1)  # torch: True = may not attend
    padding = ~mask if padded else None
    x = math.sqrt(D) * ours.source_embedding.weight[source] + places[:S]
    memory = encoder(x, src_key_padding_mask=padding)
    y = math.sqrt(D) * ours.target_embedding.weight[target] + places[:T]
    hidden = decoder(y, memory, tgt_mask=forbidden, memory_key_padding_mask=padding)
    expected = hidden @ ours.target_embedding.weight.T
    assert_close(ours(source, target, mask if padded else None), expected, 1e-10)


def test_the_width_within_the_mlps_is_the_papers():
    model = make(d_ff=None)
    for block in (*model.encoder.blocks, *model.decoder):
        assert block.feed_forward.up_proj.out_features == 4 * D


# ------------------------------------------------------------------------------ what every translator must do


EOS, BOS = 0, 1


@cache
def translator():
    """As in notebook 03, in half as many steps: the model, its English, and sentences held out."""
    english, german, pairs, held_out = translations(6000, seeded(11))
    config = EncoderDecoderConfig(
        len(english), len(german), max_seq_len=12, d_model=32, n_layers=1, n_heads=2
    )
    torch.manual_seed(11)
    model = EncoderDecoder(config)
    examples = [batch for _ in range(2) for batch in batches(*pairs, batch_size=64)]

    def loss(model, batch):
        source, target = batch
        return F.cross_entropy(model(source, target[:, :-1], source > 0).mT, target[:, 1:])

    train(model, examples, loss, TrainingConfig(len(examples), warmup_steps=30, learning_rate=0.01))
    return model, english, *held_out


def share_right(model, source, mask, target):
    """The share of sentences that are translated word for word."""
    written = model.translate(source, bos_id=BOS, eos_id=EOS, max_new_tokens=11, source_mask=mask)
    answers = target[:, 1:]
    return (F.pad(written, (0, 11 - written.shape[1])) == answers).all(1).float().mean().item()


def test_it_learns_to_translate_and_needs_the_sentence_for_it():
    """Not when the English is hidden, and not when it is that of another."""
    model, _, source, target = translator()
    assert share_right(model, source, source > 0, target) > 0.95
    assert share_right(model, source, torch.zeros_like(source, dtype=torch.bool), target) < 0.01
    others = source.roll(1, dims=0)
    assert share_right(model, others, others > 0, target) < 0.01


def test_at_the_verb_the_writer_looks_back():
    """In each sentence of the form "... has sold a ... letter", to the third or fourth English word."""
    model, english, source, target = translator()
    (has,) = english.encode(["has"])
    with torch.no_grad(), probing.weights_recorded(model) as seen:
        model(source, target[:, :-1], source > 0)
    weights = seen[-1].mean(1)[(source == has).any(1)]
    assert len(weights) > 50
    thing, verb = weights[:, 5], weights[:, 6]
    assert (verb.argmax(-1) < thing.argmax(-1)).float().mean() > 0.9
    assert verb[:, 2:4].sum(-1).mean() > max(0.5, 2 * thing[:, 2:4].sum(-1).mean())


def greedy(model, source, mask, eos_id, max_new_tokens):
    """One row at a time, without its padding, everything computed anew for each token."""
    rows = []
    for row, row_mask in zip(source, mask, strict=True):
        tokens = [BOS]
        while len(tokens) <= max_new_tokens and eos_id not in tokens[1:]:
            logits = model(row[None][:, row_mask], torch.tensor([tokens]))
            tokens.append(int(logits[0, -1].argmax()))
        rows.append(tokens[1:])
    longest = max(map(len, rows))
    return [row + [eos_id] * (longest - len(row)) for row in rows]


@pytest.mark.parametrize("eos_id", [EOS, 6])  # 6: a word that not every sentence has
@pytest.mark.parametrize("n", [0, 1, 3, 11])
def test_translate_is_greedy_search(eos_id, n):
    model, _, source, _ = translator()
    source, mask = source[:13], source[:13] > 0
    new = model.translate(source, bos_id=BOS, eos_id=eos_id, max_new_tokens=n, source_mask=mask)
    assert new.tolist() == greedy(model, source, mask, eos_id, n)


def test_a_translation_can_be_trained_on():
    """As in distillation or self-critical training: the tokens are ordinary ones."""
    model, (source, _, mask) = make(), random_pair()
    written = model.translate(source, bos_id=0, eos_id=1, max_new_tokens=5, source_mask=mask)
    assert not written.is_inference()
    loss = F.cross_entropy(model(source, written, mask).mT, written)
    loss.backward()
    assert all(parameter.grad is not None for parameter in model.parameters())
    assert not written.requires_grad


def test_an_empty_batch():
    model, (source, target, mask) = make(), random_pair()
    assert model(source[:0], target[:0], mask[:0]).shape == (0, T, V_TARGET)
    written = model.translate(source[:0], bos_id=0, eos_id=1, max_new_tokens=5)
    assert written.shape == (0, 0)


def test_initial_logits_are_near_chance():
    model = EncoderDecoder(EncoderDecoderConfig(V_SOURCE, V_TARGET, **SIZES))
    source, target, mask = random_pair()
    deviation = model(source, target, mask).std().item()
    assert 0.5 < deviation < 2  # embeddings of size 1 times normed vectors
    assert model.source_embedding.weight.std().item() == pytest.approx(D**-0.5, rel=0.1)


# ------------------------------------------------------------------------------------------------- bad input


def test_too_many_tokens_or_none():
    model = make()
    model(*random_pair(CONTEXT, CONTEXT))
    for t, s, got in [(0, S, 0), (T, 0, 0), (CONTEXT + 1, S, 24), (T, CONTEXT + 1, 24)]:
        with pytest.raises(ValueError, match=f"a sequence must have 1 to 23 tokens; got {got}$"):
            model(*random_pair(t, s)[:2])


@pytest.mark.parametrize("bad", [-1, 10**6])
def test_ids_outside_their_vocabulary(bad):
    model = make()
    for side, largest in [(0, V_SOURCE - 1), (1, V_TARGET - 1)]:
        for value in (bad, largest + 1):
            pair = random_pair()
            pair[side][1, 3] = value
            with pytest.raises(ValueError, match=f"token ids run from 0 to {largest}; got {value}$"):
                model(*pair)
    with pytest.raises(ValueError, match=f"token ids run from 0 to 88; got {bad}$"):
        model.translate(random_pair()[0], bos_id=bad, eos_id=1, max_new_tokens=T)


@pytest.mark.parametrize("n", [-1, CONTEXT + 1])
def test_more_new_tokens_than_fit(n):
    with pytest.raises(ValueError, match=f"max_new_tokens must be 0 to 23; got {n}$"):
        make().translate(random_pair()[0], bos_id=0, eos_id=1, max_new_tokens=n)


@pytest.mark.parametrize("shape", [(B, S - 1), (1, S), (1, 1), (S,), (B, 1, S)], ids=str)
def test_a_mask_that_does_not_fit(own_errors, shape):
    source, target, _ = random_pair()
    message = f"source_mask must have source's shape (2, 11); got {shape}"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        make()(source, target, torch.ones(shape, dtype=torch.bool))


def test_a_mask_of_one_row_is_not_one_of_heads(own_errors):
    """Three tokens, three heads: torch would keep one token from each head."""
    source, target, _ = random_pair(s=HEADS)
    with pytest.raises(ValueError, match=r"^source_mask must have source's shape \(2, 3\); got \(3,\)$"):
        make()(source, target, torch.tensor([True, True, False]))


def test_a_mask_of_numbers(own_errors):
    source, target, mask = random_pair()
    with pytest.raises(ValueError, match="mask must be boolean"):
        make()(source, target, mask.long())


@pytest.mark.parametrize(("n_sources", "n_targets"), [(2, 1), (1, 2)])
def test_as_many_sources_as_targets(own_errors, n_sources, n_targets):
    source, target, mask = random_pair()
    with pytest.raises(ValueError, match=f"^each source needs one target; got {n_sources} and {n_targets}$"):
        make()(source[:n_sources], target[:n_targets], mask[:n_sources])
