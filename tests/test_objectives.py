"""What models are asked: against torch, Hugging Face's losses, `tokenizers` and NumPy."""

import math
from collections import Counter

import pytest
import torch
import torch.nn.functional as F
import transformers
from hypothesis import given, settings
from hypothesis import strategies as st
from tensors import assert_close, numbers, seeded
from tokenizers import Tokenizer, models, pre_tokenizers, processors

from course_lib import maths
from course_lib.objectives import (
    IGNORE,
    mask_tokens,
    pack_pair,
    sentence_pairs,
    shift,
    token_loss,
    token_losses,
)

B, T, V = 3, 5, 11
PAD, UNK, CLS, SEP, MASK = SPECIAL = range(5)
FRAME = {"cls_id": CLS, "sep_id": SEP, "pad_id": PAD}
WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *(f"w{n}" for n in range(5, 101))]


def random_targets(*shape, ignored=0.4):
    targets = torch.randint(V, shape, generator=seeded(1))
    return targets.masked_fill(torch.rand(shape, generator=seeded(2)) < ignored, IGNORE)


def assert_share(events, n, chance):
    """Within five standard deviations of what is expected."""
    assert abs(int(events) - n * chance) < 5 * math.sqrt(n * chance * (1 - chance))


# -------------------------------------------------------------------------------------------- masked tokens


@settings(deadline=None)
@given(
    st.integers(0, 10**6), st.floats(0.01, 0.99), st.sets(st.integers(0, 28), max_size=5), st.integers(0, 28)
)
def test_only_what_is_asked_for_changes_and_special_tokens_never(seed, fraction, special_ids, mask_id):
    ids = torch.randint(29, (7, 13), generator=seeded(seed))
    before = ids.clone()
    options = {"special_ids": special_ids, "fraction": fraction}
    inputs, targets = mask_tokens(ids, mask_id, 29, **options, generator=seeded(seed))
    chosen = targets != IGNORE
    assert torch.equal(ids, before)
    assert torch.equal(inputs[~chosen], ids[~chosen])
    assert torch.equal(targets[chosen], ids[chosen])
    special = torch.isin(ids, torch.tensor([mask_id, *special_ids]))
    assert not (chosen & special).any()
    assert ((inputs >= 0) & (inputs < 29)).all()
    again = mask_tokens(ids, mask_id, 29, **options, generator=seeded(seed))
    assert torch.equal(again[0], inputs)
    assert torch.equal(again[1], targets)
    other = mask_tokens(ids, mask_id, 29, **options, generator=seeded(seed + 1))
    assert not 0.1 < fraction < 0.9 or special.sum() > 60 or not torch.equal(other[1], targets)


@pytest.mark.parametrize(("options", "fraction"), [({}, 0.15), ({"fraction": 0.4}, 0.4)])
def test_shares_are_those_of_the_paper(options, fraction):
    n_vocabulary = len(WORDS)
    ids = torch.randint(n_vocabulary, (211, 499), generator=seeded())
    inputs, targets = mask_tokens(ids, MASK, n_vocabulary, special_ids=SPECIAL, generator=seeded(), **options)
    chosen = targets != IGNORE
    masked, kept = inputs[chosen] == MASK, inputs[chosen] == ids[chosen]
    swapped = ~masked & ~kept
    n_chosen = int(chosen.sum())
    assert_share(n_chosen, int((ids > MASK).sum()), fraction)
    # A token drawn at random is now and then the mask or the one that was there.
    assert_share(masked.sum(), n_chosen, 0.8 + 0.1 / n_vocabulary)
    assert_share(swapped.sum(), n_chosen, 0.1 * (1 - 2 / n_vocabulary))
    assert_share(kept.sum(), n_chosen, 0.1 + 0.1 / n_vocabulary)
    seen = inputs[chosen][swapped].bincount(minlength=n_vocabulary)
    assert seen.shape == (n_vocabulary,)
    expected = seen.sum() / (n_vocabulary - 1)
    assert abs(seen[:4].sum() - 4 * expected) < 5 * math.sqrt(4 * expected)  # special tokens come up as well
    assert (abs(seen[5:] - expected) < 5 * math.sqrt(expected)).all()


def test_places_are_chosen_one_by_one():
    ids = torch.full((5003, 2), V - 1)
    chosen = mask_tokens(ids, MASK, V, special_ids=[], fraction=0.5, generator=seeded())[1] != IGNORE
    for column in chosen.T:
        assert_share(column.sum(), len(ids), 0.5)
    assert_share(chosen.all(1).sum(), len(ids), 0.25)


def test_without_a_generator_the_global_seed_decides():
    ids = torch.arange(5, 105).view(4, 25)
    results = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        results.append(mask_tokens(ids, MASK, 105, special_ids=SPECIAL))
    for first, second, third in zip(*results, strict=True):
        assert torch.equal(first, second)
        assert not torch.equal(first, third)


@pytest.mark.parametrize("dtype", [torch.int32, torch.int64], ids=str)
@pytest.mark.parametrize("shape", [(7,), (2, 3, 5), (0, 3)], ids=str)
def test_any_shape_and_kind_of_integer(shape, dtype):
    ids = torch.full(shape, 6, dtype=dtype)
    for result in mask_tokens(ids, MASK, V, special_ids=SPECIAL, fraction=0.5, generator=seeded()):
        assert result.shape == shape
        assert result.dtype == dtype


# --------------------------------------------------------------------------------------------- sentence pairs


def documents(*sizes):
    """A sentence is its document's number and its own."""
    return [[(n, place) for place in range(size)] for n, size in enumerate(sizes)]


@settings(deadline=None)
@given(st.lists(st.integers(2, 7), min_size=2, max_size=5), st.integers(0, 10**6))
def test_pairs_are_neighbours_or_strangers(sizes, seed):
    pairs = sentence_pairs(documents(*sizes), generator=seeded(seed))
    assert [first for first, _, _ in pairs] == [
        (n, i) for n, size in enumerate(sizes) for i in range(size - 1)
    ]
    for first, second, is_next in pairs:
        assert isinstance(is_next, bool)
        if is_next:
            assert second == (first[0], first[1] + 1)
        else:
            assert second[0] != first[0]
    assert sentence_pairs(documents(*sizes), generator=seeded(seed)) == pairs


def test_half_are_neighbours_and_all_strangers_are_equally_likely():
    corpus = documents(3, 2, 5)
    pairs = [pair for seed in range(3001) for pair in sentence_pairs(corpus, generator=seeded(seed))]
    assert_share(sum(is_next for _, _, is_next in pairs), len(pairs), 0.5)
    for first in {first for first, _, _ in pairs}:
        mine = [pair for pair in pairs if pair[0] == first]
        assert_share(sum(is_next for _, _, is_next in mine), len(mine), 0.5)
        strangers = Counter(second for _, second, is_next in mine if not is_next)
        elsewhere = [sentence for document in corpus for sentence in document if sentence[0] != first[0]]
        assert set(strangers) == set(elsewhere)
        for n in strangers.values():
            assert_share(n, sum(strangers.values()), 1 / len(elsewhere))


def test_sentences_may_be_anything():
    pairs = sentence_pairs((("a", "b"), ["c", "d"]), generator=seeded())
    assert [first for first, _, _ in pairs] == ["a", "c"]
    torch.manual_seed(3)
    first = sentence_pairs(documents(7, 7))
    torch.manual_seed(3)
    assert sentence_pairs(documents(7, 7)) == first
    assert sentence_pairs(documents(7, 7)) != first


# --------------------------------------------------------------------------------------------------- frames


def pack_by_loops(first, second, max_seq_len):
    """`truncate_seq_pair` of BERT's own code, then its `convert_examples_to_features`."""
    first, second = list(first), list(second)
    while len(first) + len(second) > max_seq_len - 3:
        (first if len(first) > len(second) else second).pop()
    tokens = [CLS, *first, SEP, *second, SEP]
    segments = [0] * (len(first) + 2) + [1] * (len(second) + 1)
    mask = [True] * len(tokens)
    while len(tokens) < max_seq_len:
        tokens.append(PAD)
        segments.append(0)
        mask.append(False)
    return tokens, segments, mask


@settings(deadline=None)
@given(st.integers(0, 13), st.integers(0, 13), st.integers(5, 31))
def test_pack_pair_equals_the_loops(n_first, n_second, max_seq_len):
    first, second = list(range(5, 5 + n_first)), list(range(50, 50 + n_second))
    packed = pack_pair(first, second, max_seq_len, **FRAME)
    assert [part.tolist() for part in packed] == list(pack_by_loops(first, second, max_seq_len))
    assert [part.dtype for part in packed] == [torch.int64, torch.int64, torch.bool]
    assert first == list(range(5, 5 + n_first))
    assert second == list(range(50, 50 + n_second))


def test_any_number_may_stand_for_padding():
    ids, _, mask = pack_pair([5], [6], 7, cls_id=1, sep_id=2, pad_id=9)
    assert ids.tolist() == [1, 5, 2, 6, 2, 9, 9]
    assert mask.tolist() == [True] * 5 + [False] * 2


@pytest.mark.parametrize(
    ("n_first", "n_second"), [(3, 4), (9, 2), (2, 9), (9, 7), (7, 9), (8, 8), (1, 1), (12, 12)]
)
@pytest.mark.parametrize("max_seq_len", [9, 13, 19, 29])
def test_pack_pair_equals_tokenizers(n_first, n_second, max_seq_len):
    tokenizer = Tokenizer(models.WordLevel({word: n for n, word in enumerate(WORDS)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", SEP), ("[CLS]", CLS))
    tokenizer.enable_truncation(max_seq_len, strategy="longest_first")
    tokenizer.enable_padding(length=max_seq_len, pad_id=PAD, pad_token="[PAD]")
    first, second = list(range(5, 5 + n_first)), list(range(50, 50 + n_second))
    theirs = tokenizer.encode(*(" ".join(WORDS[i] for i in ids) for ids in (first, second)))
    ids, segments, mask = pack_pair(first, second, max_seq_len, **FRAME)
    assert ids.tolist() == theirs.ids
    assert segments.tolist() == theirs.type_ids
    assert mask.long().tolist() == theirs.attention_mask


# ------------------------------------------------------------------------------------------- shift and losses


@pytest.mark.parametrize("shape", [(B,), (B, T), (2, B, T)], ids=str)
@pytest.mark.parametrize("ignored", [0.0, 0.4])
@pytest.mark.parametrize(("dtype", "atol"), [(torch.float64, 1e-12), (torch.float32, 1e-6)], ids=str)
def test_losses_equal_torch_and_numpy(shape, ignored, dtype, atol):
    logits, targets = 3 * numbers(*shape, V, dtype=dtype), random_targets(*shape, ignored=ignored)
    assert_close(token_loss(logits, targets), F.cross_entropy(logits.reshape(-1, V), targets.flatten()), atol)
    one_by_one = [
        maths.cross_entropy(score[None], target[None])
        for score, target in zip(logits.reshape(-1, V), targets.flatten(), strict=True)
        if target != IGNORE
    ]
    assert one_by_one
    assert_close(token_losses(logits, targets), torch.tensor(one_by_one, dtype=dtype), 10 * atol)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
def test_losses_of_logits_of_16_bits_are_summed_in_float32(dtype):
    """In float16 this sum is infinite, in bfloat16 it stops to grow."""
    logits = torch.randn(70_001, 3, generator=seeded()).to(dtype).requires_grad_()
    targets = torch.zeros(70_001, dtype=torch.long)
    expected = F.cross_entropy(logits.double(), targets)
    loss = token_loss(logits, targets)
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(expected.item(), abs=1e-5)
    losses = token_losses(logits, targets)
    assert losses.dtype == torch.float32
    assert losses.mean().item() == pytest.approx(expected.item(), abs=1e-5)
    loss.backward()
    assert logits.grad.dtype == dtype


@pytest.mark.parametrize("dtype", [torch.int8, torch.int16, torch.int32, torch.uint8], ids=str)
def test_targets_of_every_kind_of_whole_number(own_errors, dtype):
    logits = numbers(3, 257)
    # In 8 bits without a sign, 156 and IGNORE are one.
    targets = torch.tensor([0, IGNORE if dtype.is_signed else 156, 5]).to(dtype)
    expected = token_losses(logits, targets.long())
    assert len(expected) == 3 - dtype.is_signed
    assert_close(token_losses(logits, targets), expected)
    assert_close(token_loss(logits, targets), expected.mean())


def test_nothing_asked_costs_nothing():
    logits, targets = numbers(B, T, V).requires_grad_(), torch.full((B, T), IGNORE)
    loss = token_loss(logits, targets)
    loss.backward()
    assert loss.item() == 0
    assert (logits.grad == 0).all()
    assert token_losses(logits, targets).shape == (0,)
    assert F.cross_entropy(logits.flatten(0, 1), targets.flatten()).isnan()  # torch's mean of nothing


def test_one_token_and_no_token():
    logits = numbers(V)
    expected = -logits.log_softmax(-1)[3]
    assert_close(token_loss(logits, torch.tensor(3)), expected)
    assert token_loss(numbers(0, T, V), torch.zeros(0, T, dtype=torch.long)).item() == 0


def test_losses_equal_those_of_hugging_face_models():
    """GPT-2 shifts inside, BERT adds both of its losses: class 0 says that the second sentence follows."""
    sizes = {"hidden_size": 14, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 17}
    bert = transformers.BertForPreTraining(transformers.BertConfig(vocab_size=V, **sizes)).eval().double()
    gpt = transformers.GPT2LMHeadModel(
        transformers.GPT2Config(
            vocab_size=V, n_positions=T, n_embd=14, n_layer=1, n_head=2, bos_token_id=0, eos_token_id=0
        )
    )
    gpt = gpt.eval().double()
    ids, is_next = torch.randint(5, V, (B, T), generator=seeded()), torch.tensor([True, False, False])
    inputs, targets = mask_tokens(ids, MASK, V, special_ids=SPECIAL, fraction=0.5, generator=seeded(2))
    with torch.no_grad():
        theirs = bert(inputs, labels=targets, next_sentence_label=(~is_next).long())
        ours = token_loss(theirs.prediction_logits, targets)
        ours = ours + token_loss(theirs.seq_relationship_logits, (~is_next).long())
        # theirs computes one of its losses in float32
        assert_close(ours, theirs.loss.double(), 1e-6)
        inputs, targets = shift(ids)
        ours = token_loss(gpt(inputs).logits, targets)
        assert_close(ours, gpt(ids, labels=ids).loss.double(), 1e-6)


# ---------------------------------------------------------------------------------------------------- errors


IDS = torch.zeros(B, T, dtype=torch.long)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: mask_tokens(IDS, MASK, V, special_ids=[], fraction=0.0),
            "0 < fraction < 1, .*; got 0.0, 4$",
        ),
        (lambda: mask_tokens(IDS, MASK, V, special_ids=[], fraction=1.0), "< 1, .*; got 1.0, 4$"),
        (lambda: mask_tokens(IDS, MASK, V, special_ids=[], fraction=math.nan), "< 1, .*; got nan, 4$"),
        (lambda: mask_tokens(IDS, -1, V, special_ids=[]), "0 <= mask_id < 11; got 0.15, -1$"),
        (lambda: mask_tokens(IDS, V, V, special_ids=[]), "0 <= mask_id < 11; got 0.15, 11$"),
        (lambda: sentence_pairs(documents()), r"two documents, two sentences in each; got \[\]$"),
        (lambda: sentence_pairs(documents(5)), r"two documents, two sentences in each; got \[5\]$"),
        (lambda: sentence_pairs(documents(3, 1, 2)), r"two sentences in each; got \[3, 1, 2\]$"),
        (lambda: pack_pair([5], [6], 4, **FRAME), "a pair needs room for .*; got 4 places"),
        (lambda: shift(IDS[:, :1]), "the next token needs sequences of at least 2; got 1"),
        (
            lambda: token_losses(numbers(B, T, V), IDS.mT),
            r"^targets must be \(3, 5\), .*; got \(5, 3\)",
        ),
        (lambda: shift(IDS[0]), r"^ids must have two axes, \(rows, tokens\): .*; got shape \(5,\)$"),
        (lambda: shift(IDS[None]), r"^ids must have two axes, .*; got shape \(1, 3, 5\)$"),
        (lambda: token_loss(numbers(B, T, V), IDS > 3), "^targets must be whole numbers; got torch.bool$"),
        (lambda: token_losses(numbers(B, T, V), 1.0 * IDS), "^targets must be whole numbers; got .*float32$"),
        (lambda: token_loss(numbers(B, T, V), IDS.flatten()), r"^targets must be \(3, 5\), .*; got \(15,\)"),
    ],
)
def test_what_does_not_fit(own_errors, call, message):
    with pytest.raises(ValueError, match=message):
        call()
