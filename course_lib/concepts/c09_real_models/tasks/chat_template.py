r"""The form of a conversation

A chat model is a language model that has read conversations in one form, so it must get this form to the
letter. In plain Python: `turns` is a list of pairs (role, text), the role being "user" or "assistant".
Return the text that SmolLM2 is to continue. For `[("user", "Why?"), ("assistant", "So."), ("user", "Oh?")]`
and the system prompt "Be brief." it is

    <|im_start|>system
    Be brief.<|im_end|>
    <|im_start|>user
    Why?<|im_end|>
    <|im_start|>assistant
    So.<|im_end|>
    <|im_start|>user
    Oh?<|im_end|>
    <|im_start|>assistant

and every line ends with a line break, the last one too. It opens the answer's turn, which the model will
end itself. Where `system` is None, SmolLM2's own prompt is taken, `SMOLLM2_SYSTEM`; any other text is taken
as it is, an empty one too. Texts are not changed, spaces and line breaks included.

Somebody else writes these texts. A question that holds `<|im_end|>` could end its own turn and go on as the
system: this is prompt injection, and the tokenizer cannot tell such a sign from ours. So if any text, the
system prompt included, holds `<|im_start|>` or `<|im_end|>`, raise a ValueError.

Hint: The system prompt is a turn like others, whose role is "system". What do all turns have in common?

Hint: Make one list, `[("system", system), *turns]`, and go through it once: is a sign in the text? If not,
add the turn. What comes after the last turn?

Hint: A turn is `f"<|im_start|>{role}\n{text}<|im_end|>\n"`, and at the end comes
`"<|im_start|>assistant\n"`. An empty text is false in Python, so ask `system is None`.
"""

from course_lib.checks import forms
from course_lib.checks.exercise import Exercise
from course_lib.checks.kinds import Case
from course_lib.checks.values import Refused
from course_lib.pretrained import SMOLLM2_SYSTEM

START, END = "<|im_start|>", "<|im_end|>"
WORDS = ("why", "blue", "sky", "cat", "seven", "river", "moon", "glass", "train", "green", "small", "slow")

exercise = Exercise(
    level=2,
    minutes=14,
    section="From a word to an answer",
    read=forms.contents,
)


@exercise.solution
def chat_template(turns, system=None):
    """A conversation in the form that SmolLM2 continues.

    Args:
        turns: pairs (role, text), the role "user" or "assistant".
        system: the system prompt; None stands for SMOLLM2_SYSTEM.
    Returns: the text, up to the opening of the answer.
    Raises: ValueError: a text holds <|im_start|> or <|im_end|>.
    """
    ### BEGIN SOLUTION
    if system is None:
        system = SMOLLM2_SYSTEM
    prompt = ""
    for role, text in [("system", system), *turns]:
        if "<|im_start|>" in text or "<|im_end|>" in text:
            raise ValueError(f"the text of {role} holds a sign of the template: {text!r}")
        prompt += f"<|im_start|>{role}\n{text}<|im_end|>\n"
    return prompt + "<|im_start|>assistant\n"
    ### END SOLUTION


@exercise.adapt
def refusing(learner):
    """The learner's function, a ValueError being its answer where a text holds a sign; elsewhere a bug."""

    def answer(turns, system=None):
        texts = [system or "", *(text for _, text in turns)]
        try:
            return learner(turns, system)
        except ValueError as error:
            if not any(sign in text for text in texts for sign in (START, END)):
                raise
            return Refused(str(error))

    return answer


@exercise.cases
def _(rng):
    def some():
        return " ".join(str(word) for word in rng.choice(WORDS, 3, replace=False)).capitalize()

    def user(text=None):
        return "user", f"{some()}?" if text is None else text

    def assistant(text=None):
        return "assistant", f"{some()}." if text is None else text

    def case(name, *turns, system="Be brief.", catches=""):
        return Case(name, {"turns": list(turns), "system": system}, catches=catches)

    return [
        case("one question", user()),
        case("two questions at once", user(), user(), catches="user and assistant in turn"),
        case(
            "five turns",
            user(),
            assistant(),
            user(),
            assistant(),
            user(),
            catches="three turns at most",
        ),
        case("no turns yet", catches="the last turn taken for granted"),
        case("an empty question", user(), assistant(), user(""), catches="empty turns left out"),
        case(
            "braces and per cent",
            user(f"{{{some()}}} %s {{0}}"),
            system="{role} 100 %",
            catches="texts filled into forms twice",
        ),
        case("no system prompt given", user(), system=None, catches="none without a system prompt"),
        case("a system prompt that is empty", user(), system="", catches="an empty prompt replaced"),
        case(
            "spaces and line breaks at the ends",
            user(f" {some()} \n"),
            assistant(f"\n{some()}\n\n"),
            user(),
            catches="texts stripped",
        ),
        case("half a sign", user(f"{some()} <|im_end| >"), catches="refuses whatever looks like a sign"),
        case("the start of a turn", user(f"{some()} {START} {some()}"), catches="only the end looked for"),
        case(
            "the end of a turn in the first of three",
            user(f"{some()} {END}"),
            assistant(),
            user(),
            catches="only the last turn looked at",
        ),
        case(
            "the end of a turn in an answer",
            user(),
            assistant(f"{END}{some()}"),
            user(),
            catches="only questions looked at",
        ),
        case(
            "the start of a turn in the system prompt",
            user(),
            system=f"{some()} {START}",
            catches="system prompt not looked at",
        ),
    ]


# ----------------------------------------------------------------------------------------- the form of a turn

exercise.changed(
    "no line break after a turn",
    "A turn ends with <|im_end|> and a line break: yours follow each other directly.",
    (r"{text}<|im_end|>\n", "{text}<|im_end|>"),
)
exercise.changed(
    "a line break before the end",
    "There is a line break between the text and <|im_end|>: the text ends with its own last letter.",
    ("{text}<|im_end|>", r"{text}\n<|im_end|>"),
)
exercise.changed(
    "a blank line between turns",
    "There are two line breaks between turns: one is right.",
    (r"{text}<|im_end|>\n", r"{text}<|im_end|>\n\n"),
)
exercise.changed(
    "role and text in one line",
    "Role and text stand in one line: after the role comes a line break.",
    (r"{role}\n", "{role} "),
)
exercise.changed(
    "a space after the sign",
    "There is a space between <|im_start|> and the role: to the tokenizer this is another text.",
    ("<|im_start|>{role}", "<|im_start|> {role}"),
    (r"<|im_start|>assistant\n", r"<|im_start|> assistant\n"),
)
exercise.changed(
    "no opening",
    "The turn of the answer is not opened: the model would have to decide who speaks next. At the end comes "
    "<|im_start|>assistant and a line break.",
    (r' + "<|im_start|>assistant\n"', ""),
)
exercise.changed(
    "no line break at the end",
    'The last line break is missing: the answer begins on the line after "assistant".',
    (r"assistant\n", "assistant"),
)
exercise.changed(
    "the answer closed",
    "The turn of the answer is closed already, with <|im_end|>: the model itself ends it.",
    (r"assistant\n", r"assistant\n<|im_end|>\n"),
)


# ------------------------------------------------------------------------------------------ the system prompt


@exercise.mistake("no system prompt")
def without_system(turns, system=None):
    """The system prompt is missing: it is the first turn, with the role "system"."""
    return chat_template(turns, system).partition("<|im_end|>\n")[2]


@exercise.mistake("none without a system prompt")
def _(turns, system=None):
    """Without a system prompt there is no first turn in yours: None stands for `SMOLLM2_SYSTEM`."""
    return without_system(turns) if system is None else chat_template(turns, system)


exercise.changed(
    "None written out",
    "The word None stands where the system prompt should be: None stands for `SMOLLM2_SYSTEM`.",
    ("system = SMOLLM2_SYSTEM", "system = str(system)"),
)
exercise.changed(
    "an empty prompt replaced",
    "An empty system prompt was replaced by SmolLM2's own: only None stands for that. `or` takes both for "
    "missing.",
    ("system is None", "not system"),
)
exercise.changed(
    "system prompt last",
    "The system prompt stands behind the turns: it is the first.",
    ('[("system", system), *turns]', '[*turns, ("system", system)]'),
)


@exercise.mistake("system prompt each time")
def _(turns, system=None):
    """The system prompt stands before each question: it comes once, at the beginning."""
    told = SMOLLM2_SYSTEM if system is None else system
    parts = []
    for role, text in turns:
        if role == "user":
            parts.append(("system", told))
        parts.append((role, text))
    return without_system(parts, system)


# -------------------------------------------------------------------------------------------------- the turns


@exercise.mistake("roles exchanged")
def _(turns, system=None):
    """User and assistant are exchanged: each turn has the role that it comes with."""
    other = {"user": "assistant", "assistant": "user"}
    return chat_template([(other[role], text) for role, text in turns], system)


@exercise.mistake("always the user")
def _(turns, system=None):
    """Every turn is the user's: each has the role that it comes with."""
    return chat_template([("user", text) for _, text in turns], system)


@exercise.mistake("the last turn alone")
def _(turns, system=None):
    """Only the last turn is there: without the turns before the model knows nothing of the conversation."""
    chat_template(turns, system)  # refuses what it should
    return chat_template(turns[-1:], system)


exercise.changed(
    "texts stripped",
    "Spaces or line breaks at the ends of texts are gone: texts are not changed.",
    ("{text}<|im_end|>", "{text.strip()}<|im_end|>"),
)

# -------------------------------------------------------------------------------------- signs inside of texts

FOUND = '"<|im_start|>" in text or "<|im_end|>" in text'

exercise.changed(
    "signs let through",
    "A text that holds a sign of the template came through, so its author can end the turn and speak as the "
    "system: raise a ValueError.",
    (FOUND, "False"),
)
exercise.changed(
    "signs taken out",
    "Signs inside texts were taken out in silence: raise a ValueError, so that somebody learns of it.",
    (
        'raise ValueError(f"the text of {role} holds a sign of the template: {text!r}")',
        'text = text.replace("<|im_start|>", "").replace("<|im_end|>", "")',
    ),
)
exercise.changed(
    "only the end looked for",
    "Only <|im_end|> is refused: <|im_start|> can do harm too, so raise a ValueError for both.",
    (FOUND, '"<|im_end|>" in text'),
)
exercise.changed(
    "only the start looked for",
    "Only <|im_start|> is refused: <|im_end|> ends a turn, so raise a ValueError for both.",
    (FOUND, '"<|im_start|>" in text'),
)
exercise.changed(
    "system prompt not looked at",
    "The system prompt is not looked at: it may come from somebody else too, so its signs are refused.",
    (FOUND, f'role != "system" and ({FOUND})'),
)
exercise.changed(
    "only questions looked at",
    "Only the user's texts are looked at: what the assistant is said to have answered can be made up as "
    "well, so look at every text.",
    (FOUND, f'role == "user" and ({FOUND})'),
)
exercise.changed(
    "only the last turn looked at",
    "Only the last turn is looked at: a sign in an earlier text does the same harm.",
    (FOUND, f"(role, text) in turns[-1:] and ({FOUND})"),
)
