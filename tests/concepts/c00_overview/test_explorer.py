"""The next-word explorer without a browser: every number is the library's, every question is answered."""

import math
import re

import numpy as np
import pytest
import torch
from explorers import END, ask, keeps_the_frame, letter_model

from course_lib.bpe import BPETokenizer
from course_lib.concepts.c00_overview.explorer import NextWord
from course_lib.decoder import GPT
from course_lib.generation import next_token_probabilities


@pytest.fixture
def parts() -> tuple[GPT, BPETokenizer]:
    return letter_model()


SETTINGS = [(1.0, None, None), (0.5, 7, None), (1.7, None, 0.6), (0.8, 5, 0.9), (0.0, None, None)]


def check_numbers(explorer: NextWord, model: GPT, text: str, settings: tuple) -> None:
    with torch.no_grad():
        logits = model(torch.tensor([explorer._tokenizer.encode(text)]))[0, -1]
    temperature, top_k, top_p = settings
    before = next_token_probabilities(logits)
    after = next_token_probabilities(logits, temperature=temperature, top_k=top_k, top_p=top_p)
    rows = explorer.state["rows"]
    shown = [row["id"] for row in rows]
    assert shown == before.argsort(descending=True)[:10].tolist()
    others = [i for i in range(len(before)) if i not in shown]
    for name, probabilities in (("before", before), ("after", after)):
        np.testing.assert_allclose([row[name] for row in rows], probabilities[shown], atol=1e-6)
        np.testing.assert_allclose(explorer.state["rest"][name], probabilities[others].sum(), atol=1e-6)


@pytest.mark.parametrize("settings", SETTINGS)
def test_probabilities_are_the_librarys(parts, settings: tuple) -> None:
    model, tokenizer = parts
    explorer = NextWord(model, tokenizer, "a cat")
    check_numbers(explorer, model, "a cat", (1.0, None, None))
    temperature, top_k, top_p = settings
    error = ask(explorer, "settings", temperature=temperature, top_k=top_k or 0, top_p=top_p or 1)
    assert error == ""
    check_numbers(explorer, model, "a cat", settings)


def test_texts_that_share_a_beginning_share_the_cache(parts) -> None:
    """Longer, shorter, different, the same: the cache may not change a number."""
    model, tokenizer = parts
    explorer = NextWord(model, tokenizer, "a cat")
    seen = []
    model.token_embedding.register_forward_hook(lambda module, args, output: seen.append(args[0].shape[1]))
    for text in ("a cat sat", "a cab", "dog", "dog", "d", "dog and cat"):
        assert ask(explorer, "text", text=text) == ""
        assert explorer.text == text
        read = seen[-1]
        check_numbers(explorer, model, text, (1.0, None, None))
        seen.append(read)
    assert seen[::3] == [4, 1, 3, 1, 1, 10]


def written(explorer: NextWord, steps: int) -> str:
    """The text after so many steps."""
    for _ in range(steps):
        assert ask(explorer, "step") == ""
    return explorer.text


def test_choose_step_and_reset(parts) -> None:
    model, tokenizer = parts
    explorer = NextWord(model, tokenizer, "a cat", top_k=5)
    assert ask(explorer, "choose", token=18) == ""
    assert explorer.text == explorer.state["text"] == "a cats"
    check_numbers(explorer, model, "a cats", (1.0, 5, None))
    assert ask(explorer, "reset") == ""
    first = written(explorer, 13)
    assert len(first) > len("a cat")
    assert ask(explorer, "reset") == ""
    assert written(explorer, 13) == first
    assert written(NextWord(model, tokenizer, "a cat", top_k=5, seed=1), 13) != first


def test_draws_follow_the_probabilities_after_the_settings(parts) -> None:
    model, tokenizer = parts
    explorer = NextWord(model, tokenizer, "a cat", temperature=0.7, top_k=3)
    wanted = {row["id"]: row["after"] for row in explorer.state["rows"] if row["after"] > 0}
    assert len(wanted) == 3
    draws = 2003
    drawn = [explorer._draw() for _ in range(draws)]
    assert set(drawn) == set(wanted)
    for token, probability in wanted.items():
        # Four standard deviations of a count.
        assert abs(drawn.count(token) / draws - probability) < 4 * math.sqrt(
            probability * (1 - probability) / draws
        )


def test_the_end_of_a_text_is_told_and_not_appended(parts) -> None:
    model, tokenizer = parts
    explorer = NextWord(model, tokenizer, "a cat", temperature=0)
    with torch.no_grad():
        # The final state as the end's own embedding: nothing scores higher.
        end = model.stack(model.embed(torch.tensor([tokenizer.encode("a cat")])))[0, -1]
        model.lm_head.weight[END] = 100 * end
    explorer.text = "a ca"
    explorer.text = "a cat"
    explorer.step()
    assert explorer.text == "a cat"
    assert explorer.state["ended"]
    assert explorer.state["note"] == "The model's choice <end> is no text: it marks a beginning or an end."


def test_tokens_are_readable(parts) -> None:
    model, _ = parts
    tokens = ["Ġa", "Ċ", "ĉ", *"bcdefghijklmnopqrstuvwxy", "Ã"]
    explorer = NextWord(model, BPETokenizer(tokens, []), "bc")
    assert [explorer._piece(i) for i in (0, 1, 2, 27)] == ["␣a", "↵", "⇥", "(part of a character, token 27)"]


def test_says_what_a_token_is_and_which_are_the_models(parts) -> None:
    explorer = NextWord(*parts, "a cat", top_k=5)
    assert explorer.state["n_written"] == 0
    assert explorer.state["about"].startswith("A token is a piece of text")
    assert "It knows 28. ␣ stands for a space" in explorer.state["about"]
    assert "Underlined" not in explorer.state["about"]
    written(explorer, 3)
    ask(explorer, "choose", token=2)
    assert explorer.state["n_written"] == 4
    assert explorer.state["about"].endswith("Underlined: the model's own.")
    # Whoever edits the text takes it over.
    ask(explorer, "text", text=explorer.text + "b")
    assert explorer.state["n_written"] == 0
    explorer.step()
    ask(explorer, "reset")
    assert explorer.state["n_written"] == 0


@pytest.mark.usefixtures("own_errors")
@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "The text is empty: type at least one character for the model to continue."),
        ("a" * 62, "The text has 62 tokens, the model's context holds 61: shorten it."),
        ("ÄÖ", "The text has no character that the model knows: type another one."),
        (3, "The text must be a string; got int."),
    ],
)
def test_bad_text(parts, text: object, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        NextWord(*parts, text)
    explorer = NextWord(*parts, "a cat")
    before = explorer.state
    assert ask(explorer, "text", text=text) == message
    assert explorer.state == {**before, "answered": "request for text", "error": message}
    assert ask(explorer, "text", text="a dog") == ""


def test_a_full_context_stops_writing(parts) -> None:
    explorer = NextWord(*parts, "a" * 60, top_k=5)
    explorer.step()
    with pytest.raises(ValueError, match="The text fills the model's context of 61 tokens: shorten it or"):
        explorer.step()
    assert len(explorer.text) == 61


@pytest.mark.usefixtures("own_errors")
@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"temperature": -0.1}, "temperature must be a number from 0 to 2; got -0.1."),
        ({"temperature": 2.1}, "temperature must be a number from 0 to 2; got 2.1."),
        ({"temperature": math.nan}, "temperature must be a number from 0 to 2; got nan."),
        ({"temperature": "hot"}, "temperature must be a number from 0 to 2; got 'hot'."),
        ({"top_k": 0}, "top_k must be a whole number of at least 1, or None for all tokens; got 0."),
        ({"top_k": 2.5}, "got 2.5."),
        ({"top_p": 0.0}, "top_p must be a number above 0 and at most 1, or None for all tokens; got 0.0."),
        ({"top_p": 1.1}, "got 1.1."),
    ],
)
def test_bad_settings(parts, settings: dict, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        NextWord(*parts, "a cat", **settings)


@pytest.mark.usefixtures("own_errors")
@pytest.mark.parametrize("token", [-1, 28, "a", True])
def test_bad_token(parts, token: object) -> None:
    explorer = NextWord(*parts, "a cat")
    assert ask(explorer, "choose", token=token) == f"A token is a whole number from 0 to 27; got {token!r}."
    assert explorer.text == "a cat"


def test_next_word_describes_what_is_drawn(parts) -> None:
    explorer = NextWord(*parts, "a cat", temperature=0.5, top_k=7, top_p=0.9)
    lines = explorer.state["description"].splitlines()
    assert lines[0] == "Text: a cat"
    assert lines[1] == explorer.state["about"]
    assert lines[2] == "Settings: temperature 0.5, top-k 7, top-p 0.9"
    assert [re.split(" {2,}", line) for line in lines[4:14]] == [
        [row["piece"], row["before_text"], row["after_text"]] for row in explorer.state["rows"]
    ]
    assert lines[14].startswith("18 other tokens")
    printed = sum(
        float(row["before_text"].removesuffix(" %"))
        for row in [*explorer.state["rows"], explorer.state["rest"]]
    )
    assert printed == pytest.approx(100, abs=0.6)


def test_it_keeps_the_frame(parts) -> None:
    assert keeps_the_frame(NextWord(*parts, "a cat"))
