"""One class, two families, and what every decoder must do; `test_pretrained` compares with Hugging Face's."""

from functools import partial

import pytest
import torch
from tensors import assert_close, randomise, seeded
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from course_lib import maths
from course_lib.attention import MultiHeadAttention, scaled_dot_product_attention
from course_lib.blocks import TransformerStack
from course_lib.decoder import GPT, GPTConfig, LlamaConfig
from course_lib.generation import generate
from course_lib.positions import sinusoidal
from course_lib.probing import weights_recorded

B, T, V, CONTEXT, LAYERS, D_FF = 2, 11, 101, 23, 3, 37
SIZES = {"vocab_size": V, "max_seq_len": CONTEXT, "n_layers": LAYERS, "d_ff": D_FF}
CONFIGS = {
    "gpt2": GPTConfig(**SIZES, d_model=21, n_heads=3),
    "llama": LlamaConfig(**SIZES, d_model=42, n_heads=3, n_kv_heads=1, tied=False),
    "llama, groups": LlamaConfig(**SIZES, d_model=60, n_heads=6, n_kv_heads=2),
}
every_style = pytest.mark.parametrize("style", list(CONFIGS))


def random_gpt(style):
    return randomise(GPT(CONFIGS[style]))


def random_ids(b=B, t=T, seed=0):
    return torch.randint(V, (b, t), generator=seeded(seed))


# ------------------------------------------------------------------------------- what every decoder must do


@every_style
def test_next_token_logits_are_the_last_ones(style):
    model, ids = random_gpt(style), random_ids()
    assert_close(model.next_token_logits(ids), model(ids)[:, -1], 1e-5)


def test_a_token_beyond_the_context():
    model = random_gpt("llama")
    with pytest.raises(ValueError, match="the context holds 23 tokens; got 24"):
        model(random_ids(t=CONTEXT + 1))
    cache = model.new_cache(B)
    model(random_ids(t=CONTEXT), cache)
    with pytest.raises(ValueError, match="the context holds 23 tokens; got 24"):
        model(random_ids(t=1), cache)
    small = model.new_cache(B, capacity=5)
    with pytest.raises(ValueError, match="the cache holds 5 tokens: 0 are in it, 7 do not fit"):
        model(random_ids(t=7), small)


@pytest.mark.parametrize("bad", [-1, V, 10**6])
def test_ids_outside_the_vocabulary(bad):
    ids = random_ids()
    ids[1, 3] = bad
    for call in (GPT(CONFIGS["gpt2"]), GPT(CONFIGS["gpt2"]).next_token_logits):
        with pytest.raises(ValueError, match=f"token ids run from 0 to 100; got {bad}$"):
            call(ids)


def test_unknown_positions(own_errors):
    with pytest.raises(ValueError, match=r"positions must be one of \('learned', 'sinusoidal',.*; got 'odd'"):
        GPT(GPTConfig(**SIZES, d_model=21, n_heads=3, positions="odd"))


@pytest.mark.parametrize(
    "config",
    [
        *CONFIGS.values(),
        *(
            GPTConfig(**SIZES, d_model=12, n_heads=3, positions=positions)
            for positions in ("sinusoidal", "alibi", "relative")
        ),
    ],
    ids=lambda config: f"{config.positions}, {config.n_kv_heads} key heads",
)
def test_order_counts_the_past_does_not_see_the_future_and_a_cache_changes_nothing(config):
    model, ids = randomise(GPT(config), std=0.5).double(), random_ids()
    logits = model(ids)
    changed = ids.clone()
    changed[:, 7] = (ids[:, 7] + 1) % V
    assert torch.equal(model(changed)[:, :7], logits[:, :7])
    assert (model(changed)[:, 7:] != logits[:, 7:]).any(-1).all()
    for chunks in ([1] * T, [4, 1, 3, 3], [T]):
        cache = model.new_cache(B, T)
        assert_close(
            torch.cat([model(part, cache) for part in ids.split(chunks, dim=1)], dim=1), logits, 1e-10
        )
        assert [layer.length for layer in cache] == [T] * LAYERS
    swapped = ids[:, [1, 0, *range(2, T)]]
    assert (model(swapped)[:, -1] - logits[:, -1]).abs().max() > 1e-3


def test_without_positions_the_order_of_earlier_tokens_is_invisible():
    model = GPT(GPTConfig(**SIZES | {"n_layers": 1}, d_model=12, n_heads=3, positions="none")).double()
    ids = random_ids(t=7)
    swapped = ids[:, [1, 0, *range(2, 7)]]
    assert_close(model(swapped)[:, -1], model(ids)[:, -1], 1e-12)


def test_tied_weights_are_one():
    model = GPT(CONFIGS["gpt2"])
    assert model.lm_head.weight is model.token_embedding.weight
    untied = GPT(CONFIGS["llama"])
    assert untied.lm_head.weight is not untied.token_embedding.weight
    # embeddings 101 x 21 and 23 x 21, three layers, the last norm
    layer = 4 * (21 * 21 + 21) + 21 * 37 + 37 + 37 * 21 + 21 + 2 * 2 * 21
    assert sum(p.numel() for p in model.parameters()) == 101 * 21 + 23 * 21 + 3 * layer + 2 * 21


def test_initialisation_keeps_the_first_loss_near_chance():
    model = GPT(GPTConfig(vocab_size=V, max_seq_len=CONTEXT, d_model=96, n_layers=4, n_heads=3))
    ids = random_ids(7, CONTEXT)
    loss = maths.cross_entropy(
        model(ids).detach().flatten(0, 1).numpy(), random_ids(7, CONTEXT, seed=1).flatten()
    )
    assert loss == pytest.approx(torch.tensor(V).log().item(), abs=0.1)
    for name, std in [("up_proj", 0.02), ("down_proj", 0.02 / 8**0.5)]:  # 8 parts add to the stream
        weights = [getattr(block.feed_forward, name).weight for block in model.stack.blocks]
        assert torch.stack(weights).std().item() == pytest.approx(std, rel=0.05)


@every_style
def test_every_layer_takes_your_attention(style):
    model, ids, calls = random_gpt(style), random_ids(), []
    ours = model(ids)

    def attention(q, k, v, mask):
        calls.append((q.shape, k.shape, v.shape, mask))
        return torch.from_numpy(maths.attention(*(x.detach().numpy() for x in (q, k, v, mask))))

    model.use_attention(attention)
    assert_close(model(ids), ours, 1e-4)
    assert len(calls) == LAYERS
    n_heads = CONFIGS[style].n_heads
    shape = (B, n_heads, T, CONFIGS[style].d_model // n_heads)
    for *shapes, mask in calls:
        assert shapes == [shape] * 3
        assert torch.equal(mask, torch.ones(T, T).tril().bool())
    model.use_attention(None)
    assert torch.equal(model(ids), ours)
    assert len(calls) == LAYERS


@pytest.mark.parametrize("positions", ["alibi", "relative"])
def test_your_attention_gets_what_is_added_to_the_scores(positions):
    """Plugged in or recorded, the model answers as before; what takes no bias is refused."""
    model = randomise(GPT(GPTConfig(**SIZES, d_model=12, n_heads=3, positions=positions))).double()
    ids = random_ids()
    ours = model(ids)
    for fused in (True, False):
        model.use_attention(partial(scaled_dot_product_attention, fused=fused))
        assert_close(model(ids), ours, 1e-10)
        cache = model.new_cache(B)
        steps = torch.cat([model(part, cache) for part in ids.split([4, 1, 6], dim=1)], dim=1)
        assert_close(steps, ours, 1e-10)
    model.use_attention(lambda q, k, v, mask: scaled_dot_product_attention(q, k, v, mask))
    with pytest.raises(TypeError, match="unexpected keyword argument 'bias'"):
        model(ids)
    model.use_attention(None)
    with weights_recorded(model) as seen:
        assert_close(model(ids), ours, 1e-10)
    assert len(seen) == LAYERS


def interrupt(module, args):
    raise KeyboardInterrupt


@pytest.mark.parametrize("call", ["forward", "next_token_logits"])
@pytest.mark.parametrize(
    "part",
    [
        "stack.blocks.1.attention",
        "stack.blocks.1.attention.out_proj",
        "stack.blocks.2.feed_forward",
        "stack.final_norm",
        "lm_head",
    ],
)
def test_an_interrupted_call_leaves_the_cache_as_it_was(part, call):
    """The same call again answers as if nothing had been: what some or all layers had stored is forgotten."""
    model, ids = random_gpt("llama"), random_ids()
    assert LAYERS == 3
    cache = model.new_cache(B)
    model(ids[:, :5], cache)
    hook = model.get_submodule(part).register_forward_pre_hook(interrupt)
    with pytest.raises(KeyboardInterrupt):
        getattr(model, call)(ids[:, 5:7], cache)
    hook.remove()
    assert [layer.length for layer in cache] == [5] * LAYERS
    expected = getattr(model, call)(ids[:, :7])
    again = getattr(model, call)(ids[:, 5:7], cache)
    assert_close(again, expected if call == "next_token_logits" else expected[:, 5:], 1e-4)


def test_layers_that_hold_unequal_numbers_of_tokens_are_refused():
    """They would answer, and wrongly. A stack that is called by itself can leave them so."""
    model, ids = random_gpt("llama"), random_ids()
    cache = model.new_cache(B)
    model(ids[:, :5], cache)
    hook = model.stack.blocks[1].attention.register_forward_pre_hook(interrupt)
    with pytest.raises(KeyboardInterrupt):
        model.stack(model.embed(ids[:, 5:6], cache), cache=cache)
    hook.remove()
    for call in (model, model.next_token_logits, model.embed):
        with pytest.raises(
            ValueError, match="hold 5 to 6 tokens, because a call was interrupted: begin again"
        ):
            call(ids[:, 5:6], cache)


def test_caches_for_the_layers_that_are_there():
    """An experiment may take layers away."""
    model, ids = random_gpt("llama"), random_ids()
    del model.stack.blocks[1]
    cache = model.new_cache(B)
    assert len(cache) == LAYERS - 1
    steps = torch.cat([model(part, cache) for part in ids.split([4, 7], dim=1)], dim=1)
    assert_close(steps, model(ids), 1e-4)


def test_only_a_table_of_positions_is_learned():
    learned, fixed = (
        len(list(GPT(GPTConfig(**SIZES, d_model=12, n_heads=3, positions=positions)).parameters()))
        for positions in ("learned", "sinusoidal")
    )
    assert learned == fixed + 1


@pytest.mark.parametrize("positions", ["learned", "sinusoidal", "rotary", "alibi", "relative", "none"])
def test_no_rows_and_no_tokens(positions):
    model = GPT(GPTConfig(**SIZES, d_model=12, n_heads=3, positions=positions))
    assert model(random_ids()[:0]).shape == (0, T, V)
    assert model.next_token_logits(random_ids()[:0]).shape == (0, V)
    assert model(random_ids()[:, :0]).shape == (B, 0, V)
    cache = model.new_cache(B)
    assert model(random_ids()[:, :0], cache).shape == (B, 0, V)
    model(random_ids()[:, :3], cache)
    assert model(random_ids()[:, :0], cache).shape == (B, 0, V)
    with pytest.raises(ValueError, match=r"^the last token's vector is needed; got no tokens$"):
        model.next_token_logits(random_ids()[:, :0])


@pytest.mark.parametrize("positions", ["learned", "rotary", "relative"])
@pytest.mark.parametrize("n_heads", [0, 5])
def test_heads_that_do_not_divide_the_width(positions, n_heads):
    with pytest.raises(ValueError, match=f"n_heads must divide d_model: got n_heads={n_heads}, d_model=12"):
        GPT(GPTConfig(**SIZES, d_model=12, n_heads=n_heads, positions=positions))


# -------------------------------------------------------------------------------------- devices and precision


class Watch(TorchDispatchMode):
    """Look at every tensor that any operation gives."""

    def __init__(self, complaint):
        super().__init__()
        self.complaint = complaint
        self.n_seen = 0

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        results = operation(*args, **(kwargs or {}))
        for tensor in tree_leaves(results):
            if isinstance(tensor, torch.Tensor):
                self.n_seen += 1
                problem = self.complaint(tensor)
                assert not problem, f"{operation} gave a tensor {problem}"
        return results


def no_float64():
    return Watch(lambda tensor: "of float64, which MPS lacks" if tensor.dtype == torch.float64 else None)


def meta_only():
    return Watch(lambda tensor: None if tensor.is_meta else f"on {tensor.device}, away from the model")


def use_everything(model, ids):
    """Forward, cached steps, recorded weights, somebody's own attention, and back-propagation."""
    model(ids)
    cache = model.new_cache(len(ids))
    for part in (ids[:, :5], ids[:, 5:6], ids[:, 6:]):
        model.next_token_logits(part, cache)
    with weights_recorded(model):
        model(ids).sum().backward()
    model.use_attention(lambda q, k, v, mask: (q @ k.mT).masked_fill(~mask, -1e9).softmax(-1) @ v)
    model(ids)
    model.use_attention(None)


@every_style
def test_nothing_is_made_on_the_wrong_device(style):
    """The meta device stands for an accelerator: a tensor made without saying where lands on the CPU."""
    with torch.device("meta"):
        model = GPT(CONFIGS[style])
    assert all(tensor.is_meta for tensor in [*model.parameters(), *model.buffers()])
    ids = torch.zeros(B, T, dtype=torch.long, device="meta")
    with meta_only() as watch:
        use_everything(model, ids)
    assert watch.n_seen > 100
    assert all(parameter.grad.is_meta for parameter in model.parameters())


def test_no_vector_layer_makes_tensors_on_the_wrong_device():
    with torch.device("meta"):
        stack = TransformerStack(21, 2, 3, norm_first=False, activation="swiglu")
        cross = MultiHeadAttention(21, 3, causal=True)
    x, context = torch.empty(B, T, 21, device="meta"), torch.empty(B, 7, 21, device="meta")
    with meta_only() as watch:
        stack(x, mask=torch.empty(T, T, dtype=torch.bool, device="meta"))
        cross(x, context=context)
    assert watch.n_seen > 20


@every_style
def test_no_float64_anywhere(style):
    with no_float64() as watch:
        model = GPT(CONFIGS[style])
        use_everything(model, random_ids())
        generate(model, random_ids(), 3)
        generate(model, random_ids(), 3, temperature=0.7, top_k=13, top_p=0.9, eos_id=5, use_cache=False)
        sinusoidal(CONTEXT, 12)
    assert watch.n_seen > 100
    for name, tensor in [*model.named_parameters(), *model.named_buffers()]:
        assert tensor.dtype == torch.float32, name


def test_the_guards_see_what_they_guard_against():
    with pytest.raises(AssertionError, match="gave a tensor of float64, which MPS lacks"), no_float64():
        torch.ones(3).double()
    with pytest.raises(AssertionError, match="gave a tensor on cpu, away from the model"), meta_only():
        torch.ones(3, device="meta") + torch.ones(3)
