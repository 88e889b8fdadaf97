"""The NumPy decoder: equal to the torch one that it stands in for, and silent where it cannot."""

import itertools

import numpy as np
import pytest
import torch
from torch import nn

from course_lib import generation
from course_lib.blocks import FeedForward, TransformerStack
from course_lib.decoder import GPT, GPTConfig
from course_lib.generation import generate
from course_lib.numpy_decoder import numpy_decoder

B, T, V, CONTEXT, NEW = 3, 5, 101, 17, 7
SIZES = {"vocab_size": V, "max_seq_len": CONTEXT, "d_model": 60, "n_layers": 2, "n_heads": 6, "d_ff": 37}


def random_gpt(std=0.3, **options):
    model = GPT(GPTConfig(**SIZES | options))
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=std)
    return model.eval()


def random_ids(b=B, t=T):
    return torch.randint(V, (b, t))


OPTIONS = {
    "positions": ["learned", "sinusoidal", "rotary", "none"],
    "activation": ["gelu", "gelu_tanh", "relu", "swiglu"],
    "norm_type": ["layer", "rms"],
    "bias": [True, False],
    "tied": [True, False],
    "n_kv_heads": [None, 2, 1],
    "rotary_interleaved": [True, False],
}
# each value of each option with each value of the next one
PAIRS = {
    (a, x, b, y)
    for (a, of_a), (b, of_b) in itertools.pairwise([*OPTIONS.items(), *list(OPTIONS.items())[:1]])
    for x in of_a
    for y in of_b
}


@pytest.mark.parametrize("pair", sorted(PAIRS, key=str), ids=str)
@torch.no_grad()
def test_equals_the_torch_decoder(pair):
    """Scores and caches, step after step."""
    model = random_gpt(**{pair[0]: pair[1], pair[2]: pair[3]}, norm_eps=0.1)
    ours, theirs = model.new_cache(B), model.new_cache(B)
    prompt = random_ids()
    assert torch.equal(model.next_token_logits(prompt, ours), model.next_token_logits(prompt, theirs))
    decoder = numpy_decoder(model)
    for _ in range(NEW):
        ids = random_ids(t=1)
        torch.testing.assert_close(
            decoder(ids, ours), model.next_token_logits(ids, theirs), rtol=1e-5, atol=1e-5
        )
    for a, b in zip(ours, theirs, strict=True):
        assert a.length == b.length == T + NEW
        torch.testing.assert_close(a.keys[:, :, : a.length], b.keys[:, :, : b.length], rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(
            a.values[:, :, : a.length], b.values[:, :, : b.length], rtol=1e-5, atol=1e-5
        )


def test_needs_no_prompt():
    """The very first token finds an empty cache: it attends to itself alone."""
    model = random_gpt(positions="rotary")
    ids = random_ids(t=1)
    with torch.no_grad():
        expected = model(ids)[:, -1]
    torch.testing.assert_close(numpy_decoder(model)(ids, model.new_cache(B)), expected, rtol=1e-5, atol=1e-5)


def test_large_scores_do_not_overflow():
    model, exact = random_gpt(std=3.0), None
    ids = random_ids()
    with torch.no_grad():
        exact = model.double()(ids)[:, -1].float()
    model.float()
    cache, decoder = model.new_cache(B), numpy_decoder(model)
    for t in range(T):
        scores = decoder(ids[:, t : t + 1], cache)
    torch.testing.assert_close(scores, exact, rtol=1e-3, atol=1e-3 * exact.abs().max().item())


@pytest.fixture
def counted(monkeypatch):
    """How many tokens were written by the NumPy decoder."""
    calls = []

    def counted_decoder(model):
        def decoder(ids, caches):
            calls.append(ids)
            return found(ids, caches)

        found = numpy_decoder(model)
        return found and decoder

    monkeypatch.setattr(generation, "numpy_decoder", counted_decoder)
    return calls


def test_writes_where_it_can(counted):
    """All tokens but the first, which comes from the prompt; the same tokens as without a cache."""
    model, prompt = random_gpt(), random_ids()
    text = generate(model, prompt, NEW)
    assert len(counted) == NEW - 1
    assert torch.equal(text, generate(model, prompt, NEW, use_cache=False))
    assert len(counted) == NEW - 1


class Loud(FeedForward):
    def forward(self, x):
        return 3 * super().forward(x)


def shout(module, *args):
    return 3 * args[-1]


def shout_before(module, args):
    return (3 * args[0],)


def replace_a_part(model):
    model.stack.blocks[0].feed_forward.down_proj = nn.Sequential(nn.Linear(37, 60), nn.Tanh())


def replace_a_forward(model):
    model.stack.blocks[1].feed_forward.forward = torch.zeros_like


STRANGERS = {
    "another part": replace_a_part,
    "a part that inherits from ours": lambda m: setattr(m.stack.blocks[1], "feed_forward", Loud(60, 37)),
    "another forward": replace_a_forward,
    "no norm": lambda m: setattr(m.stack.blocks[0], "attention_norm", nn.Identity()),
    "one of our parts in another place": lambda m: setattr(
        m.stack.blocks[1], "feed_forward", nn.Linear(60, 60)
    ),
    "another stack": lambda m: setattr(m, "stack", TransformerStack(60, 1, 6, norm="post", causal=True)),
    "a hook": lambda m: m.stack.blocks[1].attention.register_forward_hook(shout),
    "a hook on the weights": lambda m: m.stack.blocks[0].attention.pattern.register_forward_hook(shout),
    "a hook before": lambda m: m.stack.blocks[0].feed_forward.register_forward_pre_hook(shout_before),
    "another attention": lambda m: m.use_attention(
        lambda q, k, v, mask: v.mean(2, keepdim=True).expand_as(q)
    ),
    "float64": lambda m: m.double(),
}


@pytest.mark.parametrize("change", STRANGERS)
def test_what_it_does_not_know_is_left_to_torch(change, counted):
    """The change is heard: the text is not the old one, but that of the changed model without a cache."""
    model, prompt = random_gpt(), random_ids()
    before = generate(model, prompt, NEW)
    assert len(counted) == NEW - 1
    STRANGERS[change](model)
    after = generate(model, prompt, NEW)
    assert len(counted) == NEW - 1
    if change != "float64":
        assert not torch.equal(before, after)
    if change != "another attention":  # whose mean would also see what comes later
        assert torch.equal(after, generate(model, prompt, NEW, use_cache=False))


@pytest.mark.parametrize("positions", ["alibi", "relative"])
def test_positions_in_the_scores_are_left_to_torch(positions):
    assert numpy_decoder(random_gpt(positions=positions)) is None


def test_other_models_are_left_to_torch():
    assert numpy_decoder(nn.Sequential(random_gpt(), nn.Tanh())) is None


def test_the_weights_of_the_moment_count():
    model, prompt = random_gpt(), random_ids()
    before = generate(model, prompt, NEW)
    nn.init.normal_(model.stack.blocks[1].attention.v_proj.weight)
    after = generate(model, prompt, NEW)
    assert not torch.equal(before, after)
    assert torch.equal(after, generate(model, prompt, NEW, use_cache=False))


@pytest.mark.usefixtures("own_errors")
def test_bad_input_is_named():
    model = random_gpt()
    decoder = numpy_decoder(model)
    with pytest.raises(ValueError, match="token ids run from 0 to 100; got 101"):
        decoder(torch.full((B, 1), V), model.new_cache(B))
    with pytest.raises(ValueError, match="token ids run from 0 to 100; got -1"):
        decoder(torch.full((B, 1), -1), model.new_cache(B))
    with pytest.raises(ValueError, match="made for a batch of 2; got 3"):
        decoder(random_ids(t=1), model.new_cache(2))
    cache = model.new_cache(B, 1)
    decoder(random_ids(t=1), cache)
    with pytest.raises(ValueError, match="the cache holds 1 tokens: 1 are in it, 1 more do not fit"):
        decoder(random_ids(t=1), cache)


def test_scores_that_are_not_finite_are_found():
    model = random_gpt()
    nn.init.constant_(model.stack.blocks[0].feed_forward.down_proj.bias, torch.nan)
    assert np.isnan(numpy_decoder(model)(random_ids(t=1), model.new_cache(B)).numpy()).all()
