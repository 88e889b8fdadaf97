"""Probes go through the model's own forward, see what it computes, and leave nothing behind."""

import pytest
import torch
from torch import Tensor, nn

from course_lib import attention
from course_lib.attention import MultiHeadAttention
from course_lib.decoder import GPT, GPTConfig
from course_lib.encoder import BERT, BERTConfig
from course_lib.probing import attention_weights, scores_scaled, weights_recorded

IDS = [3, 1, 4, 1, 5]


def gpt(**options: object) -> GPT:
    config = GPTConfig.llama_style(
        vocab_size=11, max_seq_len=17, d_model=12, n_layers=2, n_heads=3, **options
    )
    model = GPT(config).eval()
    for parameter in model.parameters():  # large enough that attention is not nearly uniform
        if parameter.ndim == 2:
            nn.init.normal_(parameter, std=0.7)
    return model


def hooks(model: nn.Module) -> int:
    return sum(len(module._forward_hooks) for module in model.modules())


@torch.no_grad()
def logits(model: GPT) -> Tensor:
    return model(torch.tensor([IDS]))


def test_weights_have_an_axis_for_layers_heads_queries_and_keys():
    weights = attention_weights(gpt(), IDS)
    assert weights.shape == (2, 3, 5, 5)
    torch.testing.assert_close(weights.sum(-1), torch.ones(2, 3, 5))
    assert not weights.triu(1).any()  # causal
    assert not weights.requires_grad


def test_weights_are_those_of_the_layer_itself():
    torch.manual_seed(1)
    model = gpt()
    entered: list[Tensor] = []
    model.stack.blocks[1].attention.register_forward_pre_hook(lambda module, args: entered.append(args[0]))
    seen = attention_weights(model, torch.tensor(IDS))[1]
    layer = model.stack.blocks[1].attention
    with torch.no_grad():
        q, k = (layer.rotary(layer._split(proj(entered[0]))) for proj in (layer.q_proj, layer.k_proj))
        k = k.repeat_interleave(layer.n_heads // layer.n_kv_heads, dim=1)
        expected = attention.attention_weights(q, k, causal=True)
    torch.testing.assert_close(seen, expected[0])


def test_an_encoder_has_weights_on_both_sides():
    model = BERT(BERTConfig(11, 17, d_model=12, n_layers=3, n_heads=2)).eval()
    weights = attention_weights(model, IDS)
    assert weights.shape == (3, 2, 5, 5)
    assert weights.min() > 0


@pytest.mark.parametrize("ids", [torch.tensor([IDS]), torch.tensor(3)])
def test_one_text_at_a_time(ids):
    with pytest.raises(ValueError, match="one text, one axis; got shape"):
        attention_weights(gpt(), ids)


def test_recorded_weights_come_in_the_order_of_the_calls():
    model = gpt()
    with weights_recorded(model) as seen:
        logits(model)
        logits(model)
    assert len(seen) == 4
    torch.testing.assert_close(torch.stack(seen[:2])[:, 0], attention_weights(model, IDS))
    torch.testing.assert_close(seen[2], seen[0])
    assert not torch.equal(seen[0], seen[1])


def test_a_factor_multiplies_the_scores():
    model, d_head = gpt(positions="none"), 4
    layer = model.stack.blocks[0].attention
    x = torch.randn(1, 5, 12)
    k = layer._split(layer.k_proj(x)).repeat_interleave(layer.n_heads // layer.n_kv_heads, dim=1)
    expected = attention.attention_weights(layer._split(layer.q_proj(x)), k, causal=True, scale=1 / d_head)
    with scores_scaled(model, d_head**-0.5), weights_recorded(layer) as seen:
        layer(x)
    torch.testing.assert_close(seen[0], expected.detach())


def test_a_factor_of_zero_makes_all_keys_equal():
    model = gpt()
    with scores_scaled(model, 0.0):
        weights = attention_weights(model, IDS)
    uniform = torch.ones(5, 5).tril() / torch.arange(1, 6)[:, None]
    torch.testing.assert_close(weights, uniform.expand(2, 3, 5, 5))


def test_a_factor_works_with_a_cache():
    model = gpt()
    with torch.no_grad(), scores_scaled(model, 0.25):
        whole = model(torch.tensor([IDS]))
        cache = model.new_cache()
        parts = [model(torch.tensor([[token]]), cache=cache) for token in IDS]
    torch.testing.assert_close(torch.cat(parts, dim=1), whole)
    assert not torch.allclose(whole, logits(model))


def test_factors_multiply():
    model = gpt()
    before = logits(model)
    with scores_scaled(model, 4.0):
        assert not torch.allclose(logits(model), before)
        with scores_scaled(model, 0.25):
            torch.testing.assert_close(logits(model), before)


def test_everything_is_undone():
    model = gpt()
    before = logits(model)
    with scores_scaled(model, 3.0), weights_recorded(model):
        assert hooks(model) == 4
        logits(model)
    attention_weights(model, IDS)
    assert hooks(model) == 0
    assert torch.equal(logits(model), before)


def test_everything_is_undone_after_an_error():
    model = gpt()
    with pytest.raises(RuntimeError, match="stop"), scores_scaled(model, 3.0), weights_recorded(model):
        raise RuntimeError("stop")
    with pytest.raises(ValueError, match="token ids run from 0 to 10"):
        attention_weights(model, [999])
    assert hooks(model) == 0


@pytest.mark.parametrize("probe", [weights_recorded, lambda model: scores_scaled(model, 2.0)])
def test_a_model_without_attention_is_refused(probe):
    with pytest.raises(ValueError, match="Linear has no MultiHeadAttention"), probe(nn.Linear(3, 3)):
        pass


def test_a_single_layer_can_be_probed():
    layer, x = MultiHeadAttention(6, 2), torch.randn(2, 5, 6)
    with weights_recorded(layer) as seen:
        layer(x, torch.randn(2, 7, 6))
    assert seen[0].shape == (2, 2, 5, 7)
