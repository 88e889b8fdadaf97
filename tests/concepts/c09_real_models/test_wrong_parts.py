"""Whoever writes a plausible wrong part is told what is wrong with it, by its check and in the model."""

import pytest
from plausible.parts import OF, text_for_bytes

from course_lib.checks import examine, find_task
from course_lib.concepts.c09_real_models.capstone import assembly
from course_lib.concepts.c09_real_models.capstone.part_judge import judge
from course_lib.concepts.c09_real_models.capstone.recording import recorded
from course_lib.concepts.c09_real_models.capstone.taking_along import PARTS

pytestmark = pytest.mark.usefixtures("own_errors")


def checked(part, answer):
    return examine(find_task(PARTS[part].task), answer, finale=False)


def judged(part, answer):
    return judge(part, answer, recorded(*assembly.small_model())[part], 5.0)


def called(part, name):
    return next(answer for its, answer in OF[part] if its == name)


@pytest.mark.parametrize("find", [checked, judged])
@pytest.mark.parametrize("part", OF)
def test_four_of_five_wrong_parts_are_named_and_none_wrongly(part, find):
    found = [(name, find(part, answer)) for name, answer in OF[part]]
    assert all(one.problem for _, one in found)
    assert [(name, one.misconception) for name, one in found if one.misconception not in (name, "")] == []
    assert sum(bool(one.misconception) for _, one in found) >= 0.8 * len(found) >= 9


@pytest.mark.parametrize("find", [checked, judged])
def test_text_in_place_of_bytes_is_said(find):
    assert "'. The keys of 'ids' are bytes: it has b'" in find("tokenizer", text_for_bytes).problem


def test_the_model_calls_a_mistake_as_the_check_does_where_its_own_uses_do_not_tell():
    """In the small model no eps and its square are one; an axis that does not fit stops it."""
    assert judged("rms_norm", called("rms_norm", "no eps")).misconception == "no eps"
    found = judged("cache", called("cache", "joined along the heads"))
    assert found.misconception == "joined along the heads"
    assert found.detail.startswith("line ")


@pytest.mark.parametrize(
    ("part", "name"),
    [
        ("tokenizer", "the leftmost pair first"),
        ("tokenizer", "the pair learned last"),
        ("rms_norm", "eps outside the root"),  # shows in a few vectors, whose numbers are small
    ],
)
def test_mistakes_that_are_hard_to_tell_are_named_in_the_real_model(smollm2, part, name):
    found = judge(part, called(part, name), recorded(*smollm2)[part], 10.0)
    assert found.misconception == name, found
