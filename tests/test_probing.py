"""Probes go through the model's own forward, see what it computes, and leave nothing behind."""

import pytest
import torch
from tensors import OnDevice
from torch import Tensor, nn

from course_lib import attention
from course_lib.attention import MultiHeadAttention, scaled_dot_product_attention
from course_lib.blocks import RMSNorm
from course_lib.decoder import GPT, LlamaConfig
from course_lib.encoder import BERT, BERTConfig
from course_lib.probing import (
    additions_off,
    fit_lens,
    heads_off,
    key_hidden,
    layers_reordered,
    layers_skipped,
    logit_lens,
    parts_of,
    positions_averaged,
    positions_changed,
    recorded,
    replaced,
    resumed,
    scores_scaled,
    weights_of,
    weights_recorded,
)

IDS = [3, 1, 4, 1, 5]


SIZES = {"vocab_size": 11, "max_seq_len": 17, "d_model": 12, "n_layers": 2, "n_heads": 3}


def gpt(**options: object) -> GPT:
    model = GPT(LlamaConfig(**(SIZES | options))).eval()
    for parameter in model.parameters():  # large enough that attention is not nearly uniform
        if parameter.ndim == 2:
            nn.init.normal_(parameter, std=0.7)
    return model


def bert() -> BERT:
    return BERT(BERTConfig(**SIZES)).eval()


def hooks(model: nn.Module) -> int:
    return sum(len(module._forward_hooks) + len(module._forward_pre_hooks) for module in model.modules())


@torch.no_grad()
def logits(model: GPT) -> Tensor:
    return model(torch.tensor([IDS]))


def test_weights_are_those_of_the_layer_itself():
    model = gpt()
    entered: list[Tensor] = []
    model.stack.blocks[1].attention.register_forward_pre_hook(lambda module, args: entered.append(args[0]))
    seen = weights_of(model, torch.tensor(IDS))
    assert seen.shape == (2, 3, 5, 5)
    layer = model.stack.blocks[1].attention
    with torch.no_grad():
        q, k = (layer.rotary(layer._split(proj(entered[0]))) for proj in (layer.q_proj, layer.k_proj))
        expected = attention.attention_weights(q, k, causal=True)
    torch.testing.assert_close(seen[1], expected[0])


@pytest.mark.parametrize("ids", [torch.tensor([IDS]), torch.tensor(3)])
def test_one_text_at_a_time(ids):
    with pytest.raises(ValueError, match="one text, one axis; got shape"):
        weights_of(gpt(), ids)


def test_recorded_weights_come_in_the_order_of_the_calls():
    model = gpt()
    with weights_recorded(model) as seen:
        logits(model)
        logits(model)
    assert len(seen) == 4
    torch.testing.assert_close(torch.stack(seen[:2])[:, 0], weights_of(model, IDS))
    torch.testing.assert_close(seen[2], seen[0])
    assert not torch.equal(seen[0], seen[1])


def test_a_factor_multiplies_the_scores():
    model, d_head = gpt(positions="none"), 4
    layer = model.stack.blocks[0].attention
    x = torch.randn(1, 5, 12)
    q, k = layer._split(layer.q_proj(x)), layer._split(layer.k_proj(x))
    expected = attention.attention_weights(q, k, causal=True, scale=1 / d_head)
    with scores_scaled(model, d_head**-0.5), weights_recorded(layer) as seen:
        layer(x)
    torch.testing.assert_close(seen[0], expected.detach())


@pytest.mark.parametrize(
    "probe", [lambda model: scores_scaled(model, 0.25), lambda model: heads_off(model, [(1, 1)])]
)
def test_with_a_cache_it_is_the_same(probe):
    model = gpt()
    with torch.no_grad(), probe(model):
        whole = model(torch.tensor([IDS]))
        cache = model.new_cache()
        parts = [model(torch.tensor([[token]]), cache=cache) for token in IDS]
    torch.testing.assert_close(torch.cat(parts, dim=1), whole)
    assert not torch.allclose(whole, logits(model))


def test_a_head_that_is_off_gives_nothing():
    """The same as a head whose part of the last projection is zero."""
    model, d_head = gpt(), 4
    projection = model.stack.blocks[1].attention.out_proj
    with heads_off(model, [(1, 0), (1, 2)]):
        off = logits(model)
    assert not torch.allclose(off, logits(model))
    with torch.no_grad():
        projection.weight[:, :d_head] = 0
        projection.weight[:, 2 * d_head :] = 0
    torch.testing.assert_close(off, logits(model))


def test_a_head_is_off_for_the_fused_kernel_for_the_weights_and_for_anothers_function():
    model = gpt()
    off = [(0, 1), (1, 1)]
    with heads_off(model, off):
        fused = logits(model)
        with weights_recorded(model):
            torch.testing.assert_close(logits(model), fused)
        model.use_attention(lambda q, k, v, mask: attention.attention_weights(q, k, mask) @ v)
        torch.testing.assert_close(logits(model), fused)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"n_kv_heads": 1, "positions": "alibi", "activation": "gelu"},
        {"positions": "relative", "n_layers": 3},
    ],
)
def test_the_parts_of_a_layer_put_together_are_the_layer(options):
    model = gpt(**options).double()
    layer = model.config.n_layers - 1
    with torch.no_grad(), recorded(model) as seen:
        model(torch.tensor([IDS]))
    parts = parts_of(model, IDS, layer)
    block = model.stack.blocks[layer]
    own = block.attention
    torch.testing.assert_close(parts.stream, seen.streams[layer - 1][0])
    torch.testing.assert_close(parts.weights, seen.weights[layer][0])
    torch.testing.assert_close(parts.attention_input, block.attention_norm(parts.stream))
    # Each step from the one before.
    visible = torch.ones(5, 5, dtype=torch.bool).tril()
    torch.testing.assert_close(parts.scores.masked_fill(~visible, -torch.inf).softmax(-1), parts.weights)
    group = own.n_heads // own.n_kv_heads
    torch.testing.assert_close(parts.products, parts.turned_q @ parts.turned_k.repeat_interleave(group, 0).mT)
    torch.testing.assert_close(parts.mix, parts.weights @ parts.v.repeat_interleave(group, 0))
    torch.testing.assert_close(parts.attention, own.out_proj(parts.mix.transpose(0, 1).flatten(1)))
    torch.testing.assert_close(parts.middle, parts.stream + parts.attention)
    torch.testing.assert_close(parts.mlp_input, block.feed_forward_norm(parts.middle))
    bent = attention.F.gelu(parts.up) if parts.gate is None else parts.gate * parts.up
    torch.testing.assert_close(parts.hidden, bent)
    torch.testing.assert_close(parts.feed_forward, block.feed_forward.down_proj(parts.hidden))
    torch.testing.assert_close(parts.output, parts.middle + parts.feed_forward)
    torch.testing.assert_close(parts.output, seen.streams[layer][0])
    assert torch.equal(parts.turned_q, parts.q) == (own.rotary is None)
    assert torch.equal(parts.turned_k[:, 0], parts.k[:, 0])  # place 0 is not turned
    assert hooks(model) == 0


def test_the_parts_of_an_encoders_layer():
    model = bert()
    with torch.no_grad(), recorded(model) as seen:
        model(torch.tensor([IDS]))
    parts, block = parts_of(model, torch.tensor(IDS), 1), model.stack.blocks[1]
    torch.testing.assert_close(parts.attention_input, seen.streams[0][0])
    torch.testing.assert_close(parts.scores.softmax(-1), parts.weights)
    torch.testing.assert_close(parts.middle, block.attention_norm(parts.stream + parts.attention))
    torch.testing.assert_close(parts.output, block.feed_forward_norm(parts.middle + parts.feed_forward))
    torch.testing.assert_close(parts.output, seen.streams[1][0])


def test_parts_that_are_not_there_are_named(own_errors):
    with pytest.raises(ValueError, match="there is no layer 2: they run from 0 to 1"):
        parts_of(gpt(), IDS, 2)
    with pytest.raises(ValueError, match=r"one axis; got shape \(1, 5\)"):
        parts_of(gpt(), torch.tensor([IDS]), 0)
    model = gpt()
    model.stack.blocks[1].feed_forward = nn.Identity()
    with pytest.raises(
        ValueError, match="layer 1 must have MultiHeadAttention and FeedForward; it has Multi"
    ):
        parts_of(model, IDS, 1)


def test_a_hidden_key_is_as_good_as_masked():
    model = bert()
    layer, x = model.stack.blocks[0].attention, torch.randn(2, 5, 12)
    mask = torch.ones(5, 5, dtype=torch.bool)
    mask[2:, 1] = False
    with key_hidden(layer, 1, begin=2):
        hidden = layer(x)
    torch.testing.assert_close(hidden, layer(x, mask=mask))
    assert not torch.allclose(hidden, layer(x))


def test_a_query_that_saw_nothing_but_the_hidden_key_gets_zeros():
    model = gpt()
    with key_hidden(model, 0):
        weights = weights_of(model, IDS)
    assert not weights[..., 0].any()
    assert not weights[:, :, 0].any()
    torch.testing.assert_close(weights[:, :, 1:].sum(-1), torch.ones(2, 3, 4))
    assert hooks(model) == 0


def test_a_skipped_layer_passes_the_stream_on():
    model = gpt()
    with layers_skipped(model, [0]), recorded(model) as seen:
        skipped = logits(model)
    torch.testing.assert_close(seen.streams[0], model.token_embedding(torch.tensor([IDS])).detach())
    del model.stack.blocks[0]
    torch.testing.assert_close(skipped, logits(model))


def test_the_stream_is_what_went_in_and_what_the_branches_add():
    model = gpt()
    with recorded(model) as seen:
        model(torch.tensor([IDS]))
    assert len(seen.weights) == len(seen.streams) == len(seen.attention) == len(seen.feed_forward) == 2
    before = seen.streams[0]
    torch.testing.assert_close(seen.streams[1], before + seen.attention[1] + seen.feed_forward[1])
    torch.testing.assert_close(torch.stack(seen.weights)[:, 0], weights_of(model, IDS))
    kept = (*seen.weights, *seen.streams, *seen.attention, *seen.feed_forward)
    assert not any(tensor.requires_grad for tensor in kept)


PROBES = {
    "weights recorded": weights_recorded,
    "scores scaled": lambda model: scores_scaled(model, 3.0),
    "heads off": lambda model: heads_off(model, [(0, 1)]),
    "key hidden": lambda model: key_hidden(model, 0),
    "recorded": recorded,
    "layers skipped": lambda model: layers_skipped(model, [0]),
    "layers reordered": lambda model: layers_reordered(model, [1, 0]),
    "additions off": additions_off,
    "resumed": lambda model: resumed(model, 1, torch.zeros(1, 5, 12)),
    "replaced": lambda model: replaced(model, RMSNorm, lambda norm, x: x),
    "positions changed": lambda model: positions_changed(model, lambda t: t / 2),
}


@pytest.mark.parametrize("probe", PROBES.values(), ids=list(PROBES))
def test_everything_is_undone_also_after_an_error(probe):
    model = gpt()
    before = logits(model)
    with probe(model):
        logits(model)
    assert torch.equal(logits(model), before)
    with pytest.raises(KeyError, match="stop"), probe(model):
        raise KeyError("stop")
    assert torch.equal(logits(model), before)
    assert hooks(model) == 0
    assert not any("forward" in vars(part) for part in model.modules())
    assert all(block.attention.attend is scaled_dot_product_attention for block in model.stack.blocks)


@pytest.mark.parametrize(
    ("probe", "message"),
    [
        (lambda model: heads_off(model, [(2, 0)]), "there is no layer 2: they run from 0 to 1"),
        (lambda model: heads_off(model, [(0, 1), (-1, 0)]), "there is no layer -1"),
        (lambda model: heads_off(model, [(1, 3)]), "no head of layer 1 3: they run from 0 to 2"),
        (lambda model: key_hidden(model, -1), "places, counted from 0; got -1 and 0"),
        (lambda model: key_hidden(model, 0, begin=-2), "places, counted from 0; got 0 and -2"),
        (lambda model: layers_skipped(model, [0, 7]), "no layer 7: they run from 0 to 1"),
        (lambda model: layers_reordered(model, [0, 2]), "no layer 2: they run from 0 to 1"),
        (lambda model: layers_reordered(model, [1, 1]), r"run once; got \[1, 1\]"),
        (lambda model: resumed(model, 2, torch.zeros(1, 5, 12)), "no layer 2: they run from 0 to 1"),
        (lambda model: positions_changed(model, lambda t: t[:3]), r"17 positions; got shape \(3,\)"),
        (positions_averaged, "GPT has no PositionEmbedding to look into"),
    ],
)
def test_what_is_not_there_is_named(probe, message):
    model = gpt()
    before = logits(model)
    with pytest.raises(ValueError, match=message), probe(model):
        pass
    assert torch.equal(logits(model), before)
    assert hooks(model) == 0


@pytest.mark.parametrize(
    ("probe", "model", "message"),
    [
        (weights_recorded, nn.Linear(3, 3), "Linear has no MultiHeadAttention"),
        (PROBES["scores scaled"], nn.Linear(3, 3), "Linear has no MultiHeadAttention"),
        (lambda model: heads_off(model, []), nn.Linear(3, 3), "Linear has no MultiHeadAttention"),
        (recorded, MultiHeadAttention(6, 2), "MultiHeadAttention has no TransformerBlock"),
        (PROBES["layers skipped"], MultiHeadAttention(6, 2), "MultiHeadAttention has no TransformerBlock"),
        (PROBES["layers reordered"], nn.ModuleList([gpt(), gpt()]), "ModuleList has 2 stacks"),
        (PROBES["positions changed"], gpt(positions="none"), "GPT has no RotaryEmbedding"),
        (additions_off, bert(), "sums are normalised"),
    ],
)
def test_a_model_that_cannot_be_probed_is_refused(probe, model, message):
    with pytest.raises(ValueError, match=message), probe(model):
        pass


def test_a_single_layer_can_be_probed():
    layer, x = MultiHeadAttention(6, 2), torch.randn(2, 5, 6)
    with weights_recorded(layer) as seen:
        layer(x, torch.randn(2, 7, 6))
    assert seen[0].shape == (2, 2, 5, 7)


def all_streams(model: GPT) -> list[Tensor]:
    with recorded(model) as seen:
        logits(model)
    return seen.streams


def test_a_resumed_pass_is_the_whole_pass():
    model = gpt()
    stream = all_streams(model)[0]
    with heads_off(model, [(1, 2)]):
        expected = logits(model)
        with weights_recorded(model) as seen, resumed(model, 1, stream):
            torch.testing.assert_close(logits(model), expected)
    assert len(seen) == 1  # the first layer did not run
    with resumed(model, 1, 2 * stream):
        assert (logits(model) - expected).abs().max() > 0.1
    assert len(all_streams(model)) == 2  # and runs again


def test_a_pass_can_be_resumed_at_its_begin():
    model = gpt()
    expected = logits(model)
    with resumed(model, 0, all_streams(model)[1]):  # what layer 0 gets is not the stream's to say
        torch.testing.assert_close(logits(model), expected)


def test_replaced_parts_compute_something_else_for_a_while():
    model = gpt()
    expected = logits(model)
    for norm in model.stack.modules():
        if isinstance(norm, RMSNorm):
            nn.init.constant_(norm.weight, 2.0)
    doubled = logits(model)
    with replaced(model, RMSNorm, lambda norm, x: 0.5 * type(norm).forward(norm, x)):
        torch.testing.assert_close(logits(model), expected)
    torch.testing.assert_close(logits(model), doubled)
    assert (doubled - expected).abs().max() > 0.1


def test_shifted_positions_change_nothing_and_squeezed_ones_do():
    model = gpt()
    expected = logits(model)
    with positions_changed(model, lambda t: t + 7):
        torch.testing.assert_close(logits(model), expected, atol=1e-4, rtol=1e-4)
    with positions_changed(model, lambda t: t / 2):
        assert (logits(model) - expected).abs().max() > 0.1
    torch.testing.assert_close(logits(model), expected, atol=0, rtol=0)


def test_squeezed_positions_are_halfway():
    model, x = gpt(), torch.randn(1, 3, 5, 4)
    expected = model.rotary(x[:, :, :3])
    with positions_changed(model, lambda t: t / 2):
        # Half of places 0, 2, 4.
        torch.testing.assert_close(model.rotary(x[:, :, [0, 0, 1, 1, 2]])[:, :, ::2], expected)


@torch.no_grad()
def test_with_averaged_positions_an_encoder_reads_a_set():
    model = bert()
    nn.init.normal_(model.position_embedding.weight)
    ids, order = torch.tensor([IDS]), [4, 2, 0, 1, 3]
    before = model(ids)
    assert (model(ids[:, order]) - before[:, order]).abs().max() > 0.01
    with positions_averaged(model):
        torch.testing.assert_close(model(ids[:, order]), model(ids)[:, order])
        assert (model(ids) - before).abs().max() > 0.01
    assert not hooks(model)
    torch.testing.assert_close(model(ids), before, atol=0, rtol=0)


def test_layers_run_in_another_order():
    model = gpt(n_layers=3)
    expected = logits(model)
    first, second, third = model.stack.blocks
    with torch.no_grad():
        x = model.embed(torch.tensor([IDS]))
        exchanged = model.lm_head(model.stack.final_norm(third(first(second(x)))))
    with layers_reordered(model, [1, 0, 2]):
        torch.testing.assert_close(logits(model), exchanged)
    with layers_reordered(model, [0, 2]):
        fewer = logits(model)
    with layers_skipped(model, [1]):
        torch.testing.assert_close(logits(model), fewer)
    torch.testing.assert_close(logits(model), expected, atol=0, rtol=0)


def test_without_additions_each_part_stands_alone():
    model = gpt()
    expected = logits(model)
    with torch.no_grad():
        x = model.embed(torch.tensor([IDS]))
        for block in model.stack.blocks:
            x = block.attention(block.attention_norm(x))
            x = block.feed_forward(block.feed_forward_norm(x))
        alone = model.lm_head(model.stack.final_norm(x))
    with additions_off(model):
        torch.testing.assert_close(logits(model), alone, atol=1e-3, rtol=1e-3)
    assert not hooks(model)
    torch.testing.assert_close(logits(model), expected, atol=0, rtol=0)
    assert (alone - expected).abs().max() > 0.1


def test_the_lens_reads_the_last_stream_as_the_model_does():
    model = gpt()
    first, last = all_streams(model)
    torch.testing.assert_close(logit_lens(model, last), logits(model))
    assert (logit_lens(model, first) - logits(model)).abs().max() > 0.1


def test_a_fitted_lens_finds_the_map_to_the_last_stream():
    torch.manual_seed(0)
    last, turn, move = torch.randn(23, 5), torch.linalg.qr(torch.randn(5, 5))[0], torch.randn(5)
    earlier = last @ turn + move
    state = torch.get_rng_state()
    first, same = fit_lens([earlier, last], ridge=1e-9)
    assert torch.equal(torch.get_rng_state(), state)
    torch.testing.assert_close(first.weight, turn)  # the inverse of a rotation is its transpose
    torch.testing.assert_close(first(earlier), last)
    torch.testing.assert_close(same.weight, torch.eye(5))
    assert not first.weight.requires_grad


def test_a_strong_ridge_leaves_the_mean_of_the_last_stream():
    torch.manual_seed(0)
    earlier, last = torch.randn(23, 5), torch.randn(23, 5)
    lens, _ = fit_lens([earlier, last], ridge=1e9)
    torch.testing.assert_close(lens(earlier), last.mean(0).expand(23, 5), rtol=0, atol=1e-4)


def test_a_fitted_lens_helps_with_tokens_that_it_has_not_seen():
    torch.manual_seed(0)
    turn = torch.randn(5, 5)
    streams = torch.randn(64, 5)
    noisy = streams @ turn + 0.1 * torch.randn(64, 5)
    lens, _ = fit_lens([streams[:40], noisy[:40]])
    left = (lens(streams[40:]) - noisy[40:]).norm()
    assert left < 0.2 * noisy[40:].norm()


@pytest.mark.parametrize(
    ("shapes", "ridge"),
    [
        ([(4, 3), (5, 3)], 0.1),
        ([(1, 3), (1, 3)], 0.1),
        ([(4, 3), (4, 3)], 0.0),
        ([(2, 4, 3), (2, 4, 3)], 0.1),
        ([(4,), (4,)], 0.1),
        ([], 0.1),
    ],
)
def test_a_lens_needs_streams_of_one_shape(own_errors, shapes: list, ridge: float):
    with pytest.raises(ValueError, match=r"^need streams of one shape, \(tokens, width\), .*; got shapes "):
        fit_lens([torch.ones(shape) for shape in shapes], ridge=ridge)


def test_a_lens_is_fitted_where_the_device_has_no_float64():
    streams = [torch.randn(23, 5) for _ in range(3)]
    expected = fit_lens(streams)
    for lens, other in zip(fit_lens([x.as_subclass(OnDevice) for x in streams]), expected, strict=True):
        assert torch.equal(lens.weight, other.weight)
        assert torch.equal(lens.bias, other.bias)


def test_replaced_inside_replaced_brings_the_outer_one_back():
    model = gpt()
    plain = logits(model)
    with replaced(model, RMSNorm, lambda norm, x: 2 * x):
        outer = logits(model)
        with replaced(model, RMSNorm, lambda norm, x: 3 * x):
            assert not torch.equal(logits(model), outer)
        assert torch.equal(logits(model), outer)
    assert torch.equal(logits(model), plain)


def test_resumed_inside_resumed_brings_the_outer_one_back():
    model = gpt()
    streams = [torch.randn(1, len(IDS), 12) for _ in range(2)]
    with resumed(model, 1, streams[0]):
        outer = logits(model)
        with resumed(model, 1, streams[1]):
            assert not torch.equal(logits(model), outer)
        assert torch.equal(logits(model), outer)


def test_a_forward_of_a_learners_own_stays():
    model = gpt()
    norm = model.stack.final_norm
    norm.forward = lambda x: 5 * x
    own = logits(model)
    with replaced(model, RMSNorm, lambda norm, x: x):
        assert not torch.equal(logits(model), own)
    assert torch.equal(logits(model), own)


def test_positions_changed_keep_the_type_of_the_model():
    model = gpt().bfloat16()
    before = logits(model)
    with positions_changed(model, lambda t: t):
        assert torch.equal(logits(model), before)
    with positions_changed(model, lambda t: t / 2):
        assert logits(model).dtype == torch.bfloat16
