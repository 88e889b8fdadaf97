"""Your tokenizer in a real model

A text comes cut into words, by the model's own rule. Cut each word as your `encode` does: into bytes, of
which the pair with the lowest rank is merged first, until no pair has a rank. Then look up the id of each
token. A special word such as `<|im_start|>` is never cut and has its id in `special`. All ids stand in one
list. The check then gives your function the 48,900 merges of SmolLM2, compares it with the model's own
tokenizer, and lets the model answer a question that it reads through your tokens.

Hint: For each word: is it in `special`? Then append one id. Else append `ids[token]` for every token of
`encode(word, ranks)`.
"""

from collections.abc import Callable, Iterator
from typing import Any

from course_lib.checks import forms, real_model
from course_lib.checks.exercise import Exercise
from course_lib.checks.kinds import Case
from course_lib.checks.values import WrongForm
from course_lib.concepts.c01_tokens.tasks.count_pairs import letters, single
from course_lib.concepts.c01_tokens.tasks.encode import (  # noqa: F401  names that stand in changes
    characters,
    commonest_first,
    encodable,
    encode,
    from_right_to_left,
    last_first,
    leftmost_first,
    longest_first,
    longest_token,
    one_merge,
    one_pass,
    rightmost_first,
)

QUESTION = "Which animal says 'meow'? Answer in one sentence."
TEXTS = (  # compared with the model's own tokenizer, token for token
    "How many r's are in strawberry?",
    "Grüße aus Zürich, naïve Façade!",
    "Привет, мир! 你好，世界 नमस्ते",
    "In 2024 it cost 1,234.50 euros.",
    "\N{CAT FACE}\N{CAT FACE} and \N{SNAKE}: for i in range(10):\n    print(i)\n",
)
N_TOKENS = 24

exercise = Exercise(level=2, minutes=8, section="A new text", read=forms.contents)


@exercise.solution
def tokenizer_at_work(words, ranks, ids, special):
    """The ids of a text that is cut into words already.

    Args:
        words: a list of str.
        ranks: {(left, right): rank}, as `encode` takes it.
        ids: {token: id}.
        special: {word: id} of the words that are never cut.
    Returns: a list of ids.
    """
    ### BEGIN SOLUTION
    found = []
    for word in words:
        if word in special:
            found.append(special[word])
        else:
            found += [ids[token] for token in encode(word, ranks)]
    return found
    ### END SOLUTION


@exercise.cases
def _(rng):
    start, end = "<|start|>", "<|end|>"
    merges = ["u g", "h ug", "_ hug", "p u", "a t", "c at", "_ cat", "t h", "th e", "_ the"]
    pairs = [tuple(half.replace("_", " ").encode() for half in merge.split()) for merge in merges]
    ranks = {pair: rank for rank, pair in enumerate(pairs)}
    tokens = [*single("abcdefghijklmnopqrstuvwxyz <|>?\nüF"), *(left + right for left, right in ranks)]
    # The numbers are in no order, as in a real vocabulary: a rank is no id. A special word has 0, as there.
    numbers = [1 + int(n) for n in rng.permutation(97)]
    ids = dict(zip(tokens, numbers))
    special = {start: 0, end: numbers[-1]}

    def case(name, *words, **more):
        return Case(name, {"words": list(words), "ranks": ranks, "ids": ids, "special": special}, **more)

    hard = encodable(rng, letters(rng, 2), 17, 29)
    pieces = [*single("".join(sorted(set(hard["text"])))), *(left + right for left, right in hard["ranks"])]
    return [
        case("two words", "the", str(rng.choice([" cat", " hug"]))),
        case("a word that comes twice", "hug", " the", " hug", " the", " cat", catches="each word once"),
        case("words that would merge across their border", "t", "he", "h", "ug", catches="words were joined"),
        case("special words", start, "the", " cat", end, "\n", catches="special words are dropped"),
        Case(
            "a word in which the order of the merges tells",
            {
                "words": [hard["text"]],
                "ranks": hard["ranks"],
                "ids": dict(zip(pieces, numbers)),
                "special": special,
            },
            catches="the longest pair first",
        ),
        case("letters of several bytes", "cat", " Für", catches="characters instead of bytes"),
        case("no words", catches="joined without a beginning"),
    ]


@exercise.finale
@real_model.with_smollm2("read your tokens")
def drives_smollm2(learner: Callable[..., Any], model: Any, tokenizer: Any) -> Iterator[str]:
    """Compare with the real model's tokenizer, then let the model answer a question cut by the learner."""
    from course_lib import pretrained  # here, because these tasks do not need torch

    ids_of = with_tables(learner, tokenizer)
    n_merges = len(tokenizer.merges)
    yield f"Your function with SmolLM2's {n_merges:,} merges, beside the model's own tokenizer:\n"
    for text in TEXTS:
        ids = ids_of(text)
        yield f"  {text.strip()!r}: the same {len(ids)} tokens\n"
    prompt = ids_of(pretrained.chat_prompt(QUESTION))
    yield f"\nSmolLM2 reads {len(prompt)} tokens, all of them yours. {QUESTION}\n"
    yield from _answer(model, tokenizer, prompt)
    yield "\n"


def with_tables(learner: Callable[..., Any], tokenizer: Any) -> Callable[[str], list[int]]:
    """The learner's function as one from text to ids, with the tables of a real tokenizer.

    Raises: WrongForm (when called): the ids are not the tokenizer's own.
    """
    tables = real_model.tables_of(tokenizer)

    def ids_of(text: str) -> list[int]:
        got = forms.contents(learner(tokenizer.words(text), *tables))["result"].item()
        expected = tokenizer.encode(text)
        if got != expected:
            raise WrongForm(f"With SmolLM2's merges {text!r} should be {expected}, but is {got}.")
        return expected

    return ids_of


def _answer(model: Any, tokenizer: Any, prompt: list[int]) -> Iterator[str]:
    """What the model writes, as it comes."""
    import torch

    from course_lib import generation

    ids = torch.tensor([prompt], device=next(model.parameters()).device)
    tokens = generation.new_tokens(model, ids, N_TOKENS, eos_id=tokenizer.special_tokens["<|im_end|>"])
    return real_model.as_text(tokenizer, (int(token.item()) for token in tokens))


# --------------------------------------------------------------------------------------------- which words


@exercise.mistake("special words are cut")
def _(words, ranks, ids, special):
    """Special words were cut like any other: look in `special` first."""
    return tokenizer_at_work(words, ranks, ids, {})


exercise.changed(
    "special words are dropped",
    "Special words are missing: they have an id too, in `special`.",
    ("found.append(special[word])", "pass"),
)


exercise.changed(
    "id 0 taken for none",
    "The special word with the id 0 was cut: 0 counts as false. Ask whether the word is `in special`.",
    ("if word in special", "if special.get(word)"),
)


@exercise.mistake("only the first word")
def _(words, ranks, ids, special):
    """Only the first word was cut: does the `return` stand in the loop?"""
    return tokenizer_at_work([words[0]], ranks, ids, special)


@exercise.mistake("words were joined")
def _(words, ranks, ids, special):
    """The words were joined before they were cut, so pairs were merged across their borders."""
    return tokenizer_at_work(["".join(words)], ranks, ids, special)


@exercise.mistake("each word once")
def _(words, ranks, ids, special):
    """A word that comes twice was used once: keep all words, in their order."""
    return tokenizer_at_work(dict.fromkeys(words), ranks, ids, special)


@exercise.mistake("a list for each word")
def _(words, ranks, ids, special):
    """There is a list for each word: put all ids into one list (`+=` or `extend` instead of `append`)."""
    return [tokenizer_at_work([word], ranks, ids, special) for word in words]


exercise.changed(
    "tokens instead of ids",
    "These are tokens: look up the id of each in `ids`.",
    ("special[word]", "word.encode()"),
    ("ids[token] for", "token for"),
)

# ------------------------------------------------------------------------------------------- how they are cut

exercise.changed(
    "nothing merged",
    "These are the ids of single bytes: cut the words with your `encode`, which merges.",
    ("encode(word, ranks)", "single(word)"),
)
exercise.changed("the longest pair first", "", ("encode(word, ranks)", "longest_first(word, ranks)"))
exercise.changed("the leftmost pair first", "", ("encode(word, ranks)", "leftmost_first(word, ranks)"))
exercise.changed("the rightmost pair first", "", ("encode(word, ranks)", "rightmost_first(word, ranks)"))
exercise.changed("the commonest pair first", "", ("encode(word, ranks)", "commonest_first(word, ranks)"))
exercise.changed("the pair learned last", "", ("encode(word, ranks)", "last_first(word, ranks)"))
exercise.changed("one merge only", "", ("encode(word, ranks)", "one_merge(word, ranks)"))
exercise.changed("the longest token from the left", "", ("encode(word, ranks)", "longest_token(word, ranks)"))
exercise.changed("one pass from the left", "", ("encode(word, ranks)", "one_pass(word, ranks)"))
exercise.changed("characters instead of bytes", "", ("encode(word, ranks)", "characters(word, ranks)"))
exercise.changed("from right to left", "", ("encode(word, ranks)", "from_right_to_left(word, ranks)"))

# ----------------------------------------------------------------------------------------------- what comes


@exercise.mistake("ranks instead of ids")
def _(words, ranks, ids, special):
    """A rank is not an id: it says when a pair was learned. Look up the token in `ids`."""
    made = {left + right: 256 + rank for (left, right), rank in ranks.items()}
    return tokenizer_at_work(words, ranks, {**ids, **made}, special)


exercise.changed(
    "small letters",
    "Capital letters became small ones: they are other bytes, and other tokens.",
    ("encode(word, ranks)", "encode(word.lower(), ranks)"),
)
exercise.changed(
    "spaces taken off",
    "The space before a word was taken off: it belongs to the word, and often to its first token.",
    ("encode(word, ranks)", "encode(word.strip(), ranks)"),
)


@exercise.mistake("how many tokens")
def _(words, ranks, ids, special):
    """This is the number of tokens of each word: return their ids."""
    return [len(tokenizer_at_work([word], ranks, ids, special)) for word in words]


@exercise.mistake("sorted")
def _(words, ranks, ids, special):
    """The ids are sorted: keep the order of the text."""
    return sorted(tokenizer_at_work(words, ranks, ids, special))
