"""Answers to chat_template, as learners write them."""

import re

from course_lib.pretrained import SMOLLM2_SYSTEM


def refuse(*texts):
    if any(sign in text for text in texts for sign in ("<|im_start|>", "<|im_end|>")):
        raise ValueError("no signs, please")


def turn(role, text):
    return f"<|im_start|>{role}\n{text}<|im_end|>\n"


def one_loop(turns, system=None):
    out = []
    for role, text in [("system", SMOLLM2_SYSTEM if system is None else system), *turns]:
        refuse(text)
        out.append(turn(role, text))
    return "".join([*out, "<|im_start|>assistant\n"])


def by_regex(turns, system=None):
    if system is None:
        system = SMOLLM2_SYSTEM
    if re.search(r"<\|im_(start|end)\|>", "\0".join([system, *(text for _, text in turns)])):
        raise ValueError
    lines = ["<|im_start|>system", system + "<|im_end|>"]
    for role, text in turns:
        lines += ["<|im_start|>" + role, text + "<|im_end|>"]
    return "\n".join([*lines, "<|im_start|>assistant", ""])


def backwards(turns, system=None):
    """The last turn first, recursively."""
    if turns:
        *before, (role, text) = turns
        refuse(text)
        head = backwards(before, system)
        return head.removesuffix("<|im_start|>assistant\n") + turn(role, text) + "<|im_start|>assistant\n"
    system = SMOLLM2_SYSTEM if system is None else system
    refuse(system)
    return turn("system", system) + "<|im_start|>assistant\n"


def with_own_error(turns, system=None):
    class SignError(ValueError):
        pass

    told = {None: SMOLLM2_SYSTEM}.get(system, system)
    for text in (told, *[text for _, text in turns]):
        if text.count("<|im_end|>") + text.count("<|im_start|>") > 0:
            raise SignError(text)
    form = "<|im_start|>%s\n%s<|im_end|>\n"
    whole = form * (len(turns) + 1) % tuple(sum(map(tuple, turns), ("system", told)))
    return whole + "<|im_start|>assistant\n"


def cleaned(turns, system=None):
    texts = [SMOLLM2_SYSTEM if system is None else system, *(text for _, text in turns)]
    told, *texts = (re.sub(r"<\|im_(start|end)\|>", "", text) for text in texts)
    return one_loop([(role, text) for (role, _), text in zip(turns, texts, strict=True)], told)


def with_names(turns, system=None):
    return "".join(f"{role}: {text}\n" for role, text in turns) + "assistant:"


def in_turn(turns, system=None):
    roles = ["user", "assistant"] * len(turns)
    return one_loop([(role, text) for role, (_, text) in zip(roles, turns, strict=False)], system)


def after_a_question(turns, system=None):
    assert turns[-1][0] == "user"
    return one_loop(turns, system)


def filled_in_twice(turns, system=None):
    form = one_loop(turns, "%s")
    refuse(system or "")
    return form % (SMOLLM2_SYSTEM if system is None else system)


def by_accident(turns, system=None):
    """A ValueError of its own, which comes for half a sign too."""
    for text in [system or "", *(text for _, text in turns)]:
        if "<|" in text:
            int(text)
    return one_loop(turns, system)


RIGHT = [one_loop, by_regex, backwards, with_own_error]
WRONG = [
    ("signs taken out", cleaned),
    (None, with_names),
    ("refuses whatever looks like a sign", by_accident),
    ("user and assistant in turn", in_turn),
    ("the last turn taken for granted", after_a_question),
    ("texts filled into forms twice", filled_in_twice),
    ("three turns at most", lambda turns, system=None: one_loop(turns[-3:], system)),
    (
        "empty turns left out",
        lambda turns, system=None: one_loop([turn for turn in turns if turn[1]], system),
    ),
]
