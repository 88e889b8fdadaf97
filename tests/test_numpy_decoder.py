"""The NumPy decoder: equal to the torch one that it stands in for, and out of the way where it is not."""

import itertools
from contextlib import nullcontext

import numpy as np
import pytest
import torch
from torch import nn

from course_lib.attention import MultiHeadAttention
from course_lib.blocks import FeedForward, LayerNorm, TransformerStack
from course_lib.decoder import GPT, GPTConfig
from course_lib.generation import generate, stream
from course_lib.numpy_decoder import TOLERANCE, NumpyGPT, Scorer, as_arrays, equal_to_rounding
from course_lib.positions import RotaryEmbedding

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
    decoder = NumpyGPT(model)
    for _ in range(NEW):
        ids = random_ids(t=1)
        torch.testing.assert_close(
            decoder.next_token_logits(ids, ours), model.next_token_logits(ids, theirs), rtol=1e-5, atol=1e-5
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
    scores = NumpyGPT(model).next_token_logits(ids, model.new_cache(B))
    torch.testing.assert_close(scores, expected, rtol=1e-5, atol=1e-5)


def test_large_scores_do_not_overflow():
    model, exact = random_gpt(std=3.0), None
    ids = random_ids()
    with torch.no_grad():
        exact = model.double()(ids)[:, -1].float()
    model.float()
    cache, decoder = model.new_cache(B), NumpyGPT(model)
    for t in range(T):
        scores = decoder.next_token_logits(ids[:, t : t + 1], cache)
    torch.testing.assert_close(scores, exact, rtol=1e-3, atol=1e-3 * exact.abs().max().item())


def test_the_weights_are_not_copied():
    """So what changes in place counts at once, and a large model costs no time before its first token."""
    model = random_gpt()
    w = NumpyGPT(model).blocks[1].attention.q_proj.weight
    assert np.shares_memory(w, model.stack.blocks[1].attention.q_proj.weight.detach().numpy())


def test_a_module_as_arrays():
    part = as_arrays(random_gpt(activation="swiglu", bias=False).stack.blocks[0].feed_forward)
    assert part.kind is FeedForward
    assert part.activation == "swiglu"
    assert part.gate_proj.weight.shape == (37, 60)
    assert part.gate_proj.bias is None


# ------------------------------------------------------------------------------------------ who writes?


@pytest.fixture
def counted(monkeypatch):
    """The tokens that NumPy scored."""
    calls = []
    score = NumpyGPT.next_token_logits

    def counting(self, ids, caches):
        calls.append(ids)
        return score(self, ids, caches)

    monkeypatch.setattr(NumpyGPT, "next_token_logits", counting)
    return calls


def test_numpy_writes_where_it_can(counted):
    """The prompt's last token, to compare, and all new ones but the last; they are as without a cache."""
    model, prompt = random_gpt(), random_ids()
    text = generate(model, prompt, NEW)
    assert len(counted) == NEW
    assert torch.equal(text, generate(model, prompt, NEW, use_cache=False))
    assert len(counted) == NEW


def test_a_prompt_of_one_token_is_for_torch(counted):
    """Alone, a token attends to itself whatever the scores, and its rotation is none: nothing to compare."""
    generate(random_gpt(), random_ids(t=1), NEW)
    assert len(counted) == NEW - 1


def post_norm(model):
    model.stack.blocks[1].norm = "post"


def larger_epsilon(model):
    model.stack.norm.eps = 3.0


def other_activation(model):
    model.stack.blocks[0].feed_forward.activation = "relu"


def bias_removed(model):
    model.stack.blocks[1].feed_forward.down_proj.bias = None


def bias_of_the_keys_removed(model):
    """Which changes no score by itself: all keys move alike."""
    model.stack.blocks[0].attention.k_proj.bias = None


def bias_added(model):
    model.lm_head.bias = nn.Parameter(torch.randn(V))


def new_weights(model):
    nn.init.normal_(model.stack.blocks[1].attention.v_proj.weight)


@pytest.mark.parametrize(
    "change",
    [
        post_norm,
        larger_epsilon,
        other_activation,
        bias_removed,
        bias_of_the_keys_removed,
        bias_added,
        new_weights,
    ],
)
def test_what_was_changed_in_the_model_counts(change, counted):
    """A change of the model is one of the text, with and without a cache, and NumPy still writes."""
    model, prompt = random_gpt(), random_ids()
    before = generate(model, prompt, NEW)
    change(model)
    counted.clear()
    after = generate(model, prompt, NEW)
    assert len(counted) == NEW
    assert torch.equal(before, after) is (change is bias_of_the_keys_removed)
    assert torch.equal(after, generate(model, prompt, NEW, use_cache=False))


class Loud(FeedForward):
    def forward(self, x):
        return 3 * super().forward(x)


class LoudGPT(GPT):
    def next_token_logits(self, ids, cache=None):
        return -super().next_token_logits(ids, cache)


class Halved(nn.Module):
    """In the place of `pattern`, which is asked only where somebody looks at the weights."""

    def forward(self, weights):
        return weights * 0.5


def shout(module, *args):
    return 3 * args[-1]


def shout_before(module, args):
    return (3 * args[0],)


def mean_of_values(q, k, v, mask):
    """Attention to all alike that are not forbidden."""
    allowed = mask.float()
    return allowed / allowed.sum(-1, keepdim=True) @ v


def replace_a_forward(model):
    model.stack.blocks[1].feed_forward.forward = torch.zeros_like


WELL_KNOWN = {
    "a forward of its own": replace_a_forward,
    "a hook": lambda m: m.stack.blocks[1].attention.register_forward_hook(shout),
    "a hook on the weights": lambda m: m.stack.blocks[0].attention.pattern.register_forward_hook(shout),
    "a hook before": lambda m: m.stack.blocks[0].feed_forward.register_forward_pre_hook(shout_before),
    "a module on the weights": lambda m: setattr(m.stack.blocks[1].attention, "pattern", Halved()),
    "another attention": lambda m: m.use_attention(mean_of_values),
    "float64": lambda m: m.double(),
}


@pytest.mark.parametrize("change", WELL_KNOWN)
def test_what_is_known_to_be_different_is_left_to_torch(change, counted):
    """Without a word, and the change is heard: the text is that of the changed model without a cache."""
    model, prompt = random_gpt(), random_ids()
    before = generate(model, prompt, NEW)
    WELL_KNOWN[change](model)
    counted.clear()
    after = generate(model, prompt, NEW)
    assert not counted
    if change not in ("float64", "a module on the weights"):
        assert not torch.equal(before, after)
    assert torch.equal(after, generate(model, prompt, NEW, use_cache=False))


def test_what_inherits_is_left_to_torch(counted):
    model = LoudGPT(GPTConfig(**SIZES))
    prompt = random_ids()
    assert torch.equal(generate(model, prompt, NEW), generate(model, prompt, NEW, use_cache=False))
    assert not counted


class NearSighted(MultiHeadAttention):
    """Sees the newest six tokens: the first token that both score says nothing about it."""

    def forward(self, x, context=None, mask=None, cache=None):
        n_before = 0 if cache is None else cache.length
        places = torch.arange(n_before + x.shape[1])
        near = places[n_before:, None] - places < 6
        return super().forward(x, context, near, cache)


def test_an_attention_that_inherits_is_left_to_torch(counted):
    model = random_gpt()
    for block in model.stack.blocks:
        block.attention.__class__ = NearSighted
    prompt = random_ids(t=3)
    text = generate(model, prompt, CONTEXT - 3)
    assert torch.equal(text, generate(model, prompt, CONTEXT - 3, use_cache=False))
    assert not counted


def test_a_model_without_layers_writes_alike_with_and_without_a_cache():
    model, prompt = random_gpt(n_layers=0), random_ids()
    assert torch.equal(generate(model, prompt, NEW), generate(model, prompt, NEW, use_cache=False))


@pytest.mark.parametrize("positions", ["alibi", "relative"])
def test_positions_in_the_scores_are_left_to_torch(positions, counted):
    model, prompt = random_gpt(positions=positions), random_ids()
    assert torch.equal(generate(model, prompt, NEW), generate(model, prompt, NEW, use_cache=False))
    assert not counted


def test_a_hook_on_all_modules_is_left_to_torch(counted):
    handle = nn.modules.module.register_module_forward_hook(lambda *_: None)
    try:
        generate(random_gpt(), random_ids(), NEW)
    finally:
        handle.remove()
    assert not counted


def replace_a_part(model):
    model.stack.blocks[0].feed_forward.down_proj = nn.Sequential(nn.Linear(37, 60), nn.Tanh())


def strange_part(m):
    m.stack.blocks[1].feed_forward = Loud(60, 37)


DIFFERENT = {
    "a part that inherits from ours": strange_part,
    "another part": replace_a_part,
    "no norm": lambda m: setattr(m.stack.blocks[0], "attention_norm", nn.Identity()),
    "one of our parts in another place": lambda m: setattr(
        m.stack.blocks[1], "feed_forward", nn.Linear(60, 60)
    ),
    "another stack": lambda m: setattr(m, "stack", TransformerStack(60, 2, 6, norm="post", causal=True)),
}


@pytest.mark.parametrize("change", DIFFERENT)
def test_what_numpy_cannot_follow_is_left_to_torch_with_a_warning(change, counted):
    """The comparison finds it on the first token: torch's own text, and one warning."""
    model, prompt = random_gpt(), random_ids()
    before = generate(model, prompt, NEW)
    DIFFERENT[change](model)
    counted.clear()
    with pytest.warns(UserWarning, match="not what NumpyGPT expects .*: torch writes, more slowly") as found:
        after = generate(model, prompt, NEW)
    assert len(found) == 1
    assert len(counted) <= 1
    assert not torch.equal(before, after)
    assert torch.equal(after, generate(model, prompt, NEW, use_cache=False))


def test_the_warning_says_what_happened():
    model = random_gpt()
    strange_part(model)
    with pytest.warns(UserWarning, match=r"\(the two score a token differently\)"):
        generate(model, random_ids(), NEW)
    replace_a_part(model)
    with pytest.warns(UserWarning, match=r"\(NumPy fails with AttributeError: .* no attribute 'weight'\)"):
        generate(model, random_ids(), NEW)


def first_head_off(original):
    def forward(self, *args, **kwargs):
        weight = self.out_proj.weight.data
        kept = weight[:, : self.d_head].clone()
        weight[:, : self.d_head] = 0
        mix = original(self, *args, **kwargs)
        weight[:, : self.d_head] = kept
        return mix

    return forward


def unrotated(original):
    def forward(self, x, start=0):
        return x

    return forward


def uncentred(original):
    def forward(self, x):
        return x / (x.square().mean(-1, keepdim=True) + self.eps).sqrt() * self.weight + self.bias

    return forward


def without_its_bias(original):
    def forward(self, x):
        return nn.functional.linear(x, self.weight)

    return forward


def louder_by_one_in_a_thousand(original):
    def forward(self, *args, **kwargs):
        return 1.001 * original(self, *args, **kwargs)

    return forward


@pytest.mark.parametrize(
    ("kind", "patch"),
    [
        (RotaryEmbedding, unrotated),
        (LayerNorm, uncentred),
        (nn.Linear, without_its_bias),
        (MultiHeadAttention, louder_by_one_in_a_thousand),
        (FeedForward, louder_by_one_in_a_thousand),
        (MultiHeadAttention, first_head_off),
    ],
)
def test_a_patched_class_is_left_to_torch_with_a_warning(kind, patch, counted, monkeypatch):
    model, prompt = random_gpt(positions="rotary", tied=False), random_ids()
    monkeypatch.setattr(kind, "forward", patch(kind.forward))
    with pytest.warns(UserWarning, match="the two score a token differently"):
        text = generate(model, prompt, NEW)
    assert len(counted) == 1
    assert torch.equal(text, generate(model, prompt, NEW, use_cache=False))


@pytest.mark.parametrize("change", [None, strange_part, replace_a_part])
@torch.no_grad()
def test_the_cache_is_right_whoever_goes_on(change):
    """After the comparison it is torch's to the bit, also where NumPy failed half-way."""
    model, prompt = random_gpt(), random_ids()
    if change is not None:
        change(model)
    ours, theirs = model.new_cache(B), model.new_cache(B)
    expected = model.next_token_logits(prompt, theirs)
    scorer = Scorer(model)
    with pytest.warns(UserWarning, match="not what NumpyGPT expects") if change else nullcontext():
        scores = scorer.next_token_logits(prompt, ours)
    assert torch.equal(scores, expected)
    for a, b in zip(ours, theirs, strict=True):
        assert a.length == b.length == T
        assert torch.equal(a.keys[:, :, :T], b.keys[:, :, :T])
        assert torch.equal(a.values[:, :, :T], b.values[:, :, :T])


def test_a_hook_set_while_writing_is_heard(counted):
    """And when it goes, NumPy goes on."""
    model, seen = random_gpt(), []
    tokens = stream(model, random_ids(), NEW)
    for _ in range(3):
        next(tokens)
    assert len(counted) == 3
    attention = model.stack.blocks[1].attention
    handle = attention.register_forward_hook(lambda *_: seen.append("here"))
    next(tokens)
    next(tokens)
    assert len(seen) == 2
    handle.remove()
    next(tokens)
    assert len(seen) == 2
    assert len(counted) == 4


def test_another_attention_set_while_writing_is_heard():
    model, prompt = random_gpt(), random_ids()
    tokens = stream(model, prompt, NEW)
    start = torch.stack([next(tokens) for _ in range(3)], dim=1)
    asked = []

    def attend(q, k, v, mask):
        asked.append(q.shape)
        return v[:, :, -1:]

    model.use_attention(attend)
    next(tokens)
    assert len(asked) == 2  # each layer once
    model.use_attention(None)
    assert torch.equal(start, generate(model, prompt, 3)[:, T:])


@pytest.mark.parametrize(
    ("change", "equal"),
    [(0.0, True), (0.9 * TOLERANCE, True), (1.1 * TOLERANCE, False), (torch.nan, False), (torch.inf, False)],
)
def test_equal_to_rounding(change, equal):
    expected = torch.tensor([[2.0, -20.0, 1.0], [0.0, 3.0, 7.0]])
    scores = expected.clone()
    scores[1, 1] += 20 * change
    assert equal_to_rounding(scores, expected) is equal


def test_what_is_not_finite_is_equal_to_itself_only():
    expected = torch.tensor([[2.0, -torch.inf, torch.nan]])
    assert equal_to_rounding(expected.clone(), expected)
    assert not equal_to_rounding(torch.tensor([[2.0, -9.0, torch.nan]]), expected)
    assert not equal_to_rounding(torch.tensor([[2.5, -torch.inf, torch.nan]]), expected)
    assert not equal_to_rounding(expected[:, :2], expected)
    assert not equal_to_rounding(expected.double(), expected)


@pytest.mark.usefixtures("own_errors")
def test_bad_input_is_named():
    model = random_gpt()
    decoder = NumpyGPT(model).next_token_logits
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


@pytest.mark.usefixtures("own_errors")
def test_beyond_the_context():
    model = random_gpt(positions="none")
    cache = model.new_cache(B, CONTEXT + 1)
    decoder = NumpyGPT(model)
    for _ in range(CONTEXT):
        decoder.next_token_logits(random_ids(t=1), cache)
    with pytest.raises(ValueError, match="the context holds 17 tokens; got 18"):
        decoder.next_token_logits(random_ids(t=1), cache)


def test_scores_that_are_not_finite_are_found():
    model = random_gpt()
    nn.init.constant_(model.stack.blocks[0].feed_forward.down_proj.bias, torch.nan)
    scores = NumpyGPT(model).next_token_logits(random_ids(t=1), model.new_cache(B))
    assert scores.isnan().all()
