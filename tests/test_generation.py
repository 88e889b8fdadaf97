"""Choosing tokens: against Hugging Face's generate and logits warpers, and by frequencies."""

from functools import partial

import pytest
import torch
import transformers
from from_hf import llama_from_hf
from hypothesis import given, settings
from hypothesis import strategies as st

from course_lib.bpe import BPETokenizer
from course_lib.decoder import GPT, GPTConfig, LlamaConfig
from course_lib.encoder import BERT, BERTConfig
from course_lib.generation import continuation, generate, new_tokens, next_token_probabilities
from course_lib.pretrained import gpt2_from_hf
from course_lib.probing import layers_reordered
from course_lib.recurrent import RecurrentLM

B, T, V, CONTEXT, NEW = 3, 5, 101, 29, 13


def randomise(module, std=0.3):
    generator = torch.Generator().manual_seed(0)
    for parameter in module.parameters():
        parameter.data = std * torch.randn(parameter.shape, generator=generator)
    return module.eval()


@pytest.fixture(scope="module")
def model():
    config = LlamaConfig(
        vocab_size=V, max_seq_len=CONTEXT, d_model=30, n_layers=2, n_heads=3, n_kv_heads=1, d_ff=37,
    )  # fmt: skip
    return randomise(GPT(config))


def prompts(b=B, t=T, seed=0):
    return torch.randint(V, (b, t), generator=torch.Generator().manual_seed(seed))


def random_logits(*shape):
    return 3 * torch.randn(*shape, generator=torch.Generator().manual_seed(0))


# ---------------------------------------------------------------------------------------------- probabilities


@pytest.mark.parametrize("top_k", [None, 1, 2, 7, 19, 23, 24])
@pytest.mark.parametrize("top_p", [None, 1e-9, 0.2, 0.5, 0.9, 0.999, 1.0])
def test_top_k_and_top_p_equal_hugging_face(top_k, top_p):
    """Also with scores from five values only: what ties with the last that stays after top-k stays too."""
    generator = torch.Generator().manual_seed(0)
    ties = torch.randint(5, (7, 23), generator=generator).float()
    for logits in (ties, 3 * torch.randn(7, 23, generator=generator)):
        theirs = logits / 0.7
        if top_k is not None:
            theirs = transformers.TopKLogitsWarper(top_k)(None, theirs)
        if top_p is not None:
            theirs = transformers.TopPLogitsWarper(top_p)(None, theirs)
        ours = next_token_probabilities(logits, temperature=0.7, top_k=top_k, top_p=top_p)
        torch.testing.assert_close(ours, theirs.softmax(-1), rtol=0, atol=1e-6)
    if top_p is None and top_k in (2, 7):
        assert ((next_token_probabilities(ties, top_k=top_k) > 0).sum(-1) > top_k).any()


def test_limits_of_the_temperature():
    logits = random_logits(B, V)
    torch.testing.assert_close(next_token_probabilities(logits), logits.softmax(-1))
    greedy = torch.nn.functional.one_hot(logits.argmax(-1), V).float()
    assert torch.equal(next_token_probabilities(logits, temperature=0.0), greedy)
    torch.testing.assert_close(next_token_probabilities(logits, temperature=1e-6), greedy)
    torch.testing.assert_close(next_token_probabilities(logits * 1e30, temperature=1e-30), greedy)
    torch.testing.assert_close(next_token_probabilities(logits, temperature=1e-60), greedy)
    flat = next_token_probabilities(logits, temperature=1e6)
    torch.testing.assert_close(flat, torch.full_like(logits, 1 / V), rtol=0, atol=1e-6)


@settings(deadline=None, max_examples=100)
@given(
    st.lists(st.integers(-50, 50), min_size=2, max_size=23, unique=True),
    st.floats(0.01, 100),
    st.none() | st.integers(1, 29),
    st.none() | st.floats(0.01, 1),
)
def test_probabilities_sum_to_1_and_keep_the_order(logits, temperature, top_k, top_p):
    logits = torch.tensor(logits, dtype=torch.float32)
    p = next_token_probabilities(logits, temperature=temperature, top_k=top_k, top_p=top_p)
    assert (p >= 0).all()
    torch.testing.assert_close(p.sum(), torch.tensor(1.0), rtol=0, atol=1e-5)
    assert p[logits.argmax()] == p.max()
    assert (p[logits.argsort()].diff() >= 0).all()


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ({"temperature": -0.1}, "temperature must be a number from 0 on; got -0.1"),
        ({"temperature": float("nan")}, "temperature must be a number from 0 on; got nan"),
        ({"temperature": float("inf")}, "temperature must be a number from 0 on; got inf"),
        ({"top_k": 0}, "top_k must be at least 1; got 0"),
        ({"top_p": 0.0}, "top_p must be above 0 and at most 1; got 0.0"),
        ({"top_p": 1.1}, "top_p must be above 0 and at most 1; got 1.1"),
    ],
    ids=str,
)
def test_settings_out_of_range(model, bad, message):
    with pytest.raises(ValueError, match=message):
        next_token_probabilities(random_logits(V), **bad)
    with pytest.raises(ValueError, match=message):
        generate(model, prompts(), 2, **({"temperature": 1.0} | bad))
    with pytest.raises(ValueError, match=message):  # also where nothing is drawn
        generate(model, prompts(), 2, **bad)
    with pytest.raises(ValueError, match=message):
        next_token_probabilities(random_logits(V), **({"temperature": 0.0} | bad))


@pytest.mark.parametrize("temperature", [0.0, 1.0])
@pytest.mark.parametrize("bad", ["nan", "inf", "all -inf"])
def test_scores_that_are_no_numbers(model, temperature, bad):
    logits = random_logits(B, V)
    if bad == "all -inf":
        logits[1] = -torch.inf
    else:
        logits[1, 17] = float(bad)
    message = rf"the model's best scores must be finite; got \[\d.*, {'-inf' if '-' in bad else bad}, \d"
    with pytest.raises(ValueError, match=message):
        next_token_probabilities(logits, temperature=temperature)

    class Broken(GPT):
        def next_token_logits(self, ids, cache=None):
            return logits

    broken = Broken(model.config)
    with pytest.raises(ValueError, match=message):
        generate(broken, prompts(), 2, temperature=temperature)


def test_tokens_that_are_forbidden_are_never_drawn():
    logits = random_logits(B, V)
    logits[:, 7:] = -torch.inf
    assert (next_token_probabilities(logits)[:, 7:] == 0).all()
    assert next_token_probabilities(logits, top_k=11, top_p=0.999)[:, :7].sum() == pytest.approx(B)


# ------------------------------------------------------------------------------------------------ generation


@pytest.mark.parametrize("family", ["gpt2", "llama"])
def test_greedy_equals_hugging_face(family):
    no_ids = {"bos_token_id": None, "eos_token_id": None, "pad_token_id": None}
    if family == "gpt2":
        config = transformers.GPT2Config(
            vocab_size=V, n_positions=CONTEXT, n_embd=21, n_layer=3, n_head=3, n_inner=37, **no_ids
        )
        theirs, load = transformers.GPT2LMHeadModel(config), gpt2_from_hf
    else:
        config = transformers.LlamaConfig(
            vocab_size=V, hidden_size=30, intermediate_size=37, num_hidden_layers=2, num_attention_heads=3,
            num_key_value_heads=1, max_position_embeddings=CONTEXT, tie_word_embeddings=True, **no_ids,
        )  # fmt: skip
        theirs, load = transformers.LlamaForCausalLM(config), llama_from_hf
    randomise(theirs)
    if family == "gpt2":
        theirs.transformer.wpe.weight.data *= 5  # or each token, whose row is also its output, repeats itself
        theirs.transformer.ln_f.weight.data += 3
    ours = load(theirs.state_dict(), config.to_dict())
    ids = prompts(5)
    expected = theirs.generate(ids, max_new_tokens=NEW, do_sample=False, attention_mask=torch.ones_like(ids))
    assert torch.equal(generate(ours, ids, NEW), expected)
    assert len(expected[:, T:].unique()) > 3  # a model that always says the same would prove little


@pytest.mark.parametrize("temperature", [0.0, 0.9])
def test_with_and_without_cache_the_same_tokens(model, temperature):
    texts = [
        generate(
            model, prompts(), NEW, temperature=temperature, top_k=17, use_cache=use_cache,
            generator=torch.Generator().manual_seed(1),
        )
        for use_cache in (True, False)
    ]  # fmt: skip
    assert torch.equal(*texts)


def test_each_row_is_written_by_itself(model):
    together = generate(model, prompts(), NEW)
    alone = torch.cat([generate(model, row[None], NEW) for row in prompts()])
    assert torch.equal(together, alone)


def test_new_tokens_come_one_by_one(model):
    ids = prompts()
    steps = list(new_tokens(model, ids, NEW))
    assert [step.shape for step in steps] == [(B,)] * NEW
    assert torch.equal(torch.stack(steps, dim=1), generate(model, ids, NEW)[:, T:])
    assert torch.equal(generate(model, ids, 0), ids)


def test_seeds_repeat(model):
    def draw(seed):
        return generate(model, prompts(), NEW, temperature=1.0, generator=torch.Generator().manual_seed(seed))

    assert torch.equal(draw(1), draw(1))
    assert not torch.equal(draw(1), draw(2))


@pytest.mark.parametrize(
    "settings", [{"temperature": 1.7}, {"temperature": 0.6}, {"temperature": 1.0, "top_k": 3}], ids=str
)
def test_tokens_are_drawn_with_their_probabilities(model, settings):
    ids = prompts(1).expand(20_011, T)
    with torch.no_grad():
        p = next_token_probabilities(0.1 * model(ids[:1])[0, -1], **settings)

    class Flatter(GPT):  # so that more than one token is probable
        def next_token_logits(self, ids, cache=None):
            return 0.1 * super().next_token_logits(ids[:1]).expand(len(ids), -1)

    flatter = Flatter(model.config)
    flatter.load_state_dict(model.state_dict())
    generator = torch.Generator().manual_seed(0)
    drawn = generate(flatter, ids, 1, generator=generator, use_cache=False, **settings)[:, -1]
    frequency = drawn.bincount(minlength=V) / len(ids)
    assert (p > 0.005).sum() >= 3
    assert (frequency[p == 0] == 0).all()
    assert ((frequency - p).abs() <= 5 * (p * (1 - p) / len(ids)).sqrt() + 1e-4).all()


class Scripted(GPT):
    """Writes what it was told: row by row, step by step."""

    def __init__(self, rows):
        super().__init__(GPTConfig(vocab_size=V, max_seq_len=CONTEXT, d_model=2, n_layers=1, n_heads=1))
        self.steps = iter(torch.tensor(rows).T)
        self.lengths = []

    def next_token_logits(self, ids, cache=None):
        self.lengths.append(ids.shape[1])
        return 9.0 * torch.nn.functional.one_hot(next(self.steps), V)


EOS = 7


def test_a_finished_row_writes_only_the_end_token():
    rows = [[1, 2, 3, 4, EOS, 1, 1], [1, EOS, 5, 6, 5, 1, 1], [EOS, 8, 9, 8, 9, 1, 1]]
    new = generate(Scripted(rows), prompts(), 7, eos_id=EOS)[:, T:]
    assert new.tolist() == [[1, 2, 3, 4, EOS], [1, EOS, EOS, EOS, EOS], [EOS] * 5]
    assert generate(Scripted(rows), prompts(), 3, eos_id=EOS).shape == (B, T + 3)
    assert generate(Scripted(rows), prompts(), 7)[:, T:].tolist() == rows  # without eos_id nothing ends


def test_with_a_cache_only_the_new_token_is_computed():
    cached, whole = (Scripted([[1, 2, 3, 4]] * B) for _ in range(2))
    generate(cached, prompts(), 4)
    generate(whole, prompts(), 4, use_cache=False)
    assert cached.lengths == [T, 1, 1, 1]
    assert whole.lengths == [T, T + 1, T + 2, T + 3]


def test_generation_keeps_no_gradients(model):
    assert not next(new_tokens(model, prompts(), 1)).requires_grad
    assert all(parameter.grad is None for parameter in model.parameters())


@pytest.mark.parametrize("use_cache", [True, False])
def test_beyond_the_context(model, use_cache):
    """The last token is written and never read, so it needs no place."""
    assert generate(model, prompts(), CONTEXT - T + 1, use_cache=use_cache).shape == (B, CONTEXT + 1)
    assert generate(model, prompts(t=CONTEXT), 1, use_cache=use_cache).shape == (B, CONTEXT + 1)
    message = "the context holds 29 tokens; to read 5 and write 26 takes 30"
    with pytest.raises(ValueError, match=message):
        generate(model, prompts(), CONTEXT - T + 2, use_cache=use_cache)
    with pytest.raises(ValueError, match="the context holds 29 tokens; to read 31 and write 1 takes 31"):
        generate(model, prompts(t=31), 1, use_cache=use_cache)


@pytest.mark.parametrize(
    ("ids", "n_new", "message"),
    [
        (prompts(t=0), 2, "the prompt needs at least one token; got none"),
        (prompts(b=0), 2, "there must be at least one prompt; got an empty batch"),
        (prompts(), -1, "max_new_tokens must be 0 or more; got -1"),
        (prompts() * 0 + V, 2, "token ids run from 0 to 100; got 101"),
    ],
    ids=["no token", "no prompt", "fewer than none", "an id outside"],
)
def test_what_is_wrong_is_said_before_the_first_token(model, ids, n_new, message):
    with pytest.raises(ValueError, match=message):
        new_tokens(model, ids, n_new)


@pytest.mark.parametrize(
    ("ids", "message"),
    [
        (torch.tensor([1, 2, 3]), r"token ids must have two axes, \(rows, tokens\): .*; got shape \(3,\)"),
        ([[1, 2, 3]], r"token ids must be a tensor, such as torch.tensor\(\[ids\]\); got a list"),
    ],
    ids=["one axis", "a list"],
)
def test_ids_that_are_no_batch(own_errors, model, ids, message):
    bert = BERT(BERTConfig(7, 5, d_model=4, n_layers=1, n_heads=2))
    for use in (
        model,
        model.next_token_logits,
        partial(generate, model, max_new_tokens=2),
        bert,
        RecurrentLM(7, 4, 1, "rnn"),
    ):
        with pytest.raises(ValueError, match=message):
            use(ids)


def test_layers_taken_away_write_the_same_with_and_without_a_cache(model):
    """Where no layer runs there is no cache, and each token is read again."""
    with layers_reordered(model, []):
        texts = [generate(model, prompts(), NEW, use_cache=use_cache) for use_cache in (True, False)]
    assert torch.equal(*texts)


def test_a_continuation_is_what_is_written_and_ends_before_its_end(model):
    tokenizer = BPETokenizer([chr(ord("!") + i) for i in range(V)], [])
    text = "abc"
    new = generate(model, torch.tensor([tokenizer.encode(text)]), NEW)[0, len(text) :].tolist()
    assert continuation(model, tokenizer, text, NEW) == tokenizer.decode(new)
    end = new[2]
    assert continuation(model, tokenizer, text, NEW, end) == tokenizer.decode(new[: new.index(end)])
    assert continuation(model, tokenizer, text, NEW, eos_id=new[0]) == ""
