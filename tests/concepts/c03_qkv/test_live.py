"""What notebook 03 does with living models is what it says."""

import pytest
import torch

from course_lib import probing
from course_lib.attention import scaled_dot_product_attention
from course_lib.concepts.c03_qkv import live
from course_lib.pretrained import chat_prompt

SENTENCE = "The {} has a rough bark."


@pytest.fixture(scope="module")
def translator() -> live.Translator:
    """Trained on few sentences, for a moment."""
    return live.translator(n=1500, epochs=2, seed=3)


def test_common_words_are_whole_words_and_no_marks(minilm):
    words = live.common_words(minilm[1])
    assert len(words) == 5053
    assert {"dog", "tree", "plant"} <= set(words)
    assert all(len(minilm[1].frame(word)[0]) == 3 for word in words[::97])


def test_a_word_alone_is_read_by_itself(minilm):
    model, reader = minilm
    dog, tree = live.alone(model, reader, ["dog", "tree"])
    assert torch.allclose(dog, model(torch.tensor([reader.frame("dog")[0]]))[0, 1], atol=1e-5)
    assert not torch.allclose(dog, tree, atol=0.1)


def test_keys_in_place_are_those_of_the_sentence(minilm):
    model, reader = minilm
    keys = live.keys_in_place(model, reader, ["tree", "dog", "cat"], SENTENCE, place=2)
    assert keys.shape == (12, 3, 32)
    own = probing.parts_of(model, reader.frame(SENTENCE.format("dog"))[0], layer=0).k[:, 2]
    assert torch.allclose(torch.from_numpy(keys[:, 1]), own, atol=1e-5)


def test_a_word_that_is_cut_is_refused(minilm):
    with pytest.raises(ValueError, match="'unbelievableness' is not"):
        live.alone(*minilm, ["dog", "unbelievableness"])


def test_inside_all_attentions_mix_by_the_function_and_afterwards_by_their_own(minilm):
    model, reader = minilm
    ids = torch.tensor([reader.frame("The dog runs.")[0]])
    called = []

    def attend(q, k, v, mask):
        called.append(mask)
        return scaled_dot_product_attention(q, k, v, mask)

    with live.mixing_by(model, attend):
        inside = model(ids, mask=torch.tensor([[True, True, False, True, True, True]]))
    assert len(called) == 6
    assert all(mask.any() and not mask.all() for mask in called)
    assert torch.allclose(inside, model(ids, mask=torch.tensor([[True, True, False, True, True, True]])))
    assert len(called) == 6


def test_its_own_mixing_comes_back_after_an_error(minilm):
    model, reader = minilm
    own = model.stack.blocks[0].attention.attend

    def failing(q, k, v, mask):
        raise RuntimeError("no")

    with pytest.raises(RuntimeError, match="no"), live.mixing_by(model, failing):
        model(torch.tensor([reader.frame("The dog runs.")[0]]))
    assert model.stack.blocks[0].attention.attend is own


def test_a_model_without_attention_is_refused():
    with (
        pytest.raises(ValueError, match="Linear has no attention"),
        live.mixing_by(torch.nn.Linear(2, 3), max),
    ):
        pass


def test_it_goes_on_and_stops_where_its_turn_ends(smollm2):
    assert live.goes_on(smollm2, "The capital of France is", 1) == "Paris"
    answer = live.goes_on(smollm2, chat_prompt("What is the capital of France?"), 20)
    assert answer == "The capital of France is Paris."


def test_the_translator_learns(translator):
    before, after = translator.untrained, translator.model
    assert not torch.equal(before.target_embedding.weight, after.target_embedding.weight)
    assert len(translator.source) == len(translator.target) > 100
    assert translator.writes().shape == translator.target[:, 1:].shape


def test_who_translates_word_for_word_is_right(translator, monkeypatch):
    target = translator.target[:, 1:]
    monkeypatch.setattr(live.Translator, "writes", lambda self, blind=False: target.clone())
    assert translator.right() == 1.0
    wrong = target.clone()
    wrong[:7, 0] += 1
    monkeypatch.setattr(live.Translator, "writes", lambda self, blind=False: wrong)
    assert translator.right() == pytest.approx(1 - 7 / len(target))


def test_without_the_english_it_writes_the_same_for_all(translator):
    assert len(set(translator.texts(translator.writes(blind=True)))) == 1
    assert translator.right_without("German at English") < 0.05


def test_each_part_names_its_own_attention(translator):
    source, target = translator.source, translator.target[:, :-1]
    with torch.no_grad(), probing.weights_recorded(translator.model) as seen:
        translator.model(source, target, source > 0)
    shapes = {part: tuple(weights.shape[-2:]) for part, weights in zip(live.PARTS, seen, strict=True)}
    n_english, n_german = source.shape[1], target.shape[1]
    assert shapes == {
        "English at English": (n_english, n_english),
        "German at German": (n_german, n_german),
        "German at English": (n_german, n_english),
    }


def test_looks_are_rows_of_weights_of_one_sentence(translator):
    english, german, maps = translator.looks("has")
    assert "has" in english
    assert [tuple(table.shape) for table in maps] == [(len(german), len(english))] * 2
    assert all((table.sum(1) < 1 + 1e-5).all() and (table >= 0).all() for table in maps)
    assert not torch.allclose(*maps, atol=1e-3)
    with pytest.raises(ValueError, match="no new sentence has the word 'dragon'"):
        translator.looks("dragon")


def test_losses_by_place_are_those_of_reviews_and_a_late_mask_raises_them(smollm2):
    model, _ = smollm2
    own = live.losses_by_place(smollm2, n=2, length=17)
    assert own.shape == (16,)

    def late(q, k, v, mask):
        weights = (q @ k.mT / k.shape[-1] ** 0.5).softmax(-1)
        return (weights * mask) @ v

    with live.mixing_by(model, late):
        assert (live.losses_by_place(smollm2, n=2, length=17) - own).mean() > 2
    one, other = (live.losses_by_place(smollm2, n=1, length=length) for length in (17, 34))
    assert torch.allclose(one, other[:16], atol=1e-3)
