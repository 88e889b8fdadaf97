"""What notebook 07 shows live: gaps, who fills them, what three trainings know, what a cache saves."""

import re

import numpy as np
import pytest
import torch

from course_lib import data, readers
from course_lib.checks import examine, find_task
from course_lib.concepts.c07_mlm_vs_next_token import live
from course_lib.concepts.c07_mlm_vs_next_token.answers.recipe_of import lessons_own, the_text_restored
from course_lib.concepts.c07_mlm_vs_next_token.tasks.mask_tokens import mask_tokens
from course_lib.concepts.c07_mlm_vs_next_token.tasks.recipe_of import RECIPES, hidden_by, named, recipe_of


def test_the_gaps_are_sentences_with_one_word_missing():
    assert len({*live.GAPS}) == len(live.GAPS) == 48
    for left, word, right in live.GAPS:
        assert left[0].isupper()
        assert word.isalpha()
        assert right[-1] == "."
        assert word not in f"{left} {right}".split()


def test_the_right_side_stands_as_in_the_text():
    assert [live.behind(right) for right in ("is.", ", is.", ".")] == [" is.", ", is.", "."]


def test_no_review_holds_a_gaps_sentence():
    """The filler has read the reviews."""
    read = {review.text for part in data.reviews() for review in part}
    assert not [gap for gap in live.GAPS if any(f"{gap[1]}{live.behind(gap[2])}" in text for text in read)]


def test_the_pair_beats_both(smollm2):
    """Four gaps, of which the record counts all 48."""
    found = live.contest(smollm2, [live.GAPS[n] for n in (0, 3, 4, 7)])
    assert list(found) == [live.LEFT, live.TRYING, live.FILLING, live.JUDGED]
    assert all(0 <= first <= five <= 4 for first, five in found.values())
    assert found[live.JUDGED][0] > found[live.FILLING][0] > found[live.LEFT][0]


def test_what_is_stored_is_what_the_notebook_says():
    made = readers.filler_made()
    filled = made["filled"]
    assert list(filled) == [live.LEFT, live.TRYING, live.FILLING, live.JUDGED]
    assert [first for first, _ in filled.values()] == [5, 15, 20, 32]
    assert made["curves"]["filler"][0][1:] == [0, 1, 8]
    asked = next(asked for _, asked, _, five in made["curves"]["filler"] if five > 24)
    assert asked == 1433
    assert max(five for *_, five in made["curves"]["mask kept"]) == 13
    assert made["gaps_that_share_six_tokens"] == "0"


def test_trained_with_masks_only_a_reader_does_not_trust_its_eyes():
    def always(ids, mask_id, vocab_size, special_ids, generator):
        _, targets = mask_tokens(ids, mask_id, vocab_size, special_ids, generator)
        return torch.where(targets != -100, mask_id, ids), targets

    def nothing_hidden(ids, mask_id, vocab_size, special_ids, generator):
        _, targets = mask_tokens(ids, mask_id, vocab_size, special_ids, generator)
        return ids, targets

    seen, trusting = (live.three_places(recipe, steps=40) for recipe in (always, nothing_hidden))
    assert seen[1] > seen[0] - 0.5
    assert trusting[1] < 1 < seen[1] - 2
    assert trusting[2] > seen[2] + 2


@pytest.fixture(scope="module")
def pieces() -> torch.Tensor:
    return readers.pieces(readers.texts()[1], 3, torch.Generator().manual_seed(0))[:, :11]


@pytest.mark.parametrize(("causal", "share"), [(True, 0), (False, 1)])
def test_a_later_character_changes_what_both_sides_see(pieces, causal, share):
    assert live.changed(readers.make_reader(causal=causal, seed=1), pieces) == share


def test_a_cache_saves_reading_and_changes_nothing(pieces):
    model = readers.make_reader(causal=True, seed=1)
    assert live.both_ways(model, pieces[:, :5], 7) == (sum(range(5, 12)) / 11, 0)


def test_without_its_mask_a_model_writes_otherwise_with_a_cache(pieces):
    """What the cache keeps is then not what would be computed anew."""
    _, model, _ = readers.load_readers()
    assert live.both_ways(model, pieces[:, :5], 20)[1] > 0


# ------------------------------------------------------------------------------------------- recipe_of


@pytest.mark.parametrize("name", RECIPES)
def test_a_batch_tells_its_recipe(name):
    recipe = RECIPES[name]
    batch = hidden_by(recipe, (53, 997), 499, np.random.default_rng(3))
    given = [torch.from_numpy(batch["inputs"]), torch.from_numpy(batch["targets"])]
    shares = recipe_of(*given, batch["mask_id"], batch["special_ids"])
    asked, masked, other = recipe
    torch.testing.assert_close(
        shares, torch.tensor([asked, masked, other, 1 - masked - other]), atol=0.02, rtol=0
    )
    assert named(shares) == name


def test_the_course_hides_as_bert_does():
    ids = torch.randint(3, 500, (50, 400), generator=torch.Generator().manual_seed(0))
    ids[:, 0] = 1
    hidden = mask_tokens(ids, 500, 501, [1, 2], torch.Generator().manual_seed(0))
    assert named(recipe_of(*hidden, 500, [1, 2])) == "BERT's"


def test_each_recipe_is_in_the_table_under_its_name():
    said = []
    assert examine(find_task("07_mlm_vs_next_token/recipe_of"), the_text_restored, hear=said.append).passed
    rows = re.findall(r"^(\S.*?) +((?:[\d.]+% *){4})   (\S.*)$", "".join(said), re.M)
    assert [(name, name) for name in RECIPES] == [(by, said) for by, _, said in rows]
    assert f"names {len(RECIPES)} of {len(RECIPES)} rightly" in "".join(said)


def test_the_lessons_own_cell_is_no_answer():
    assert not examine(find_task("07_mlm_vs_next_token/recipe_of"), lessons_own).passed
