"""A real chat model from ten parts of the learner's: each compared with the course's inside it, then used.

    my_model = assemble(rms_norm=rms_norm, mlp=gated_mlp)
    my_model = assemble(my_model, block=pre_norm_block)
    my_model.chat("Why is the sky blue?")
    my_model.certificate()

`parts` has the model as ten functions compute it, `recording` what goes into each there, and `part_judge`
compares a learner's part with ours. `taking_along` finds the learner's functions, `program` writes them down.
"""

import functools
import statistics
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import torch

from course_lib import costs, generation, pretrained
from course_lib.bpe import BPETokenizer
from course_lib.checks import examine, find_task, real_model
from course_lib.checks.call import Call, call
from course_lib.checks.guard import clean_state
from course_lib.checks.show import as_markup, fitting, listener, show
from course_lib.checks.values import describe
from course_lib.concepts.c09_real_models.capstone.part_judge import Judgement, judge, share_of
from course_lib.concepts.c09_real_models.capstone.parts import (
    END,
    QUESTION,
    STORY,
    Assembled,
    Lending,
    Parts,
    library_parts,
)
from course_lib.concepts.c09_real_models.capstone.program import write_program
from course_lib.concepts.c09_real_models.capstone.recording import Use, recorded, small_model
from course_lib.concepts.c09_real_models.capstone.taking_along import HELPERS, PARTS, Taken, code_of
from course_lib.decoder import GPT

if TYPE_CHECKING:
    from course_lib.concepts.c09_real_models.capstone.certificate import Certificate

Tensor = torch.Tensor

N_TOKENS = 24  # written to compare two texts
# Of the logits, as a share of the largest: the layers multiply what rounding does.
TOGETHER = 1e-4
FULL = 90  # letters in a line of the chat; the next word begins another


# -------------------------------------------------------------------------------------------- the whole model


@dataclass(frozen=True)
class Comparison:
    """The whole model with some parts of the learner's beside the course's own."""

    text: str
    text_of_library: str
    n_logits: int  # tokens whose logits were compared
    off: float  # the largest difference of a logit
    largest: float  # logit
    problem: str = ""  # an error on the way
    late: bool = False  # it did not come to its end in time

    @property
    def same(self) -> bool:
        """Whether both write the same, from the same logits up to rounding."""
        close = self.off <= TOGETHER * self.largest
        return not self.problem and self.text == self.text_of_library and close

    @property
    def how_far(self) -> str:
        """How far the logits are off, in words."""
        return f"scores {share_of(self.off / self.largest)}"


def compared(model: GPT, tokenizer: BPETokenizer, parts: Parts, seconds: float) -> Comparison:
    """Let the parts answer a question together, at temperature 0, and compare with the course's model."""
    expected = library_text(model, tokenizer)
    outcome = answered(Assembled(model, tokenizer, parts), seconds)
    if outcome.value is None:
        return Comparison("", expected, 0, float("inf"), 0.0, _why_not(outcome), late=outcome.late)
    tokens, logits = outcome.value
    ids = tokenizer.encode(pretrained.chat_prompt(QUESTION))
    with torch.no_grad():
        right = model(torch.tensor([[*ids, *tokens[:-1]]]))[0]
    off, largest = float((logits - right).abs().max()), float(right.abs().max())
    text = "".join(real_model.as_text(tokenizer, tokens))
    return Comparison(text, expected, len(logits), off, largest)


def answered(assembled: Assembled, seconds: float) -> Call:
    """What the parts answer at temperature 0: the tokens, and the logits of prompt and answer."""
    longest = assembled.model.config.max_seq_len

    def run() -> tuple[list[int], Tensor]:
        with clean_state():
            prompt = assembled.encode(pretrained.chat_prompt(QUESTION))
            if len(prompt) > longest:
                raise ValueError(f"the question has become {len(prompt):,} tokens, of which {longest:,} fit")
            written = list(assembled.write(prompt, N_TOKENS))
            with torch.no_grad():
                first, _ = assembled.read(prompt)
            tokens = [token for token, _ in written]
            return tokens, torch.cat([first[:-1], torch.stack([scores for _, scores in written])])

    return call(run, seconds)


@functools.lru_cache(maxsize=2)
def library_text(model: GPT, tokenizer: BPETokenizer) -> str:
    """What the course's model answers to the same question."""
    ids = torch.tensor([tokenizer.encode(pretrained.chat_prompt(QUESTION))])
    own = generation.new_tokens(model, ids, N_TOKENS, eos_id=tokenizer.special_tokens[END])
    return "".join(real_model.as_text(tokenizer, (int(token) for token in own)))


def heard_with(faults: Parts, model: GPT, tokenizer: BPETokenizer, seconds: float) -> str:
    """What the model says with parts that are wrong, beside what it says with the course's: a sentence."""
    parts = library_parts(tokenizer) | dict(faults)
    outcome = answered(Lending(model, tokenizer, parts), seconds)
    so = f"With your {' and '.join(faults)} as {'they are' if len(faults) > 1 else 'it is'},"
    if outcome.value is None:
        return f"{so} it says nothing: {_why_not(outcome)}."
    tokens, _ = outcome.value
    said, expected = "".join(real_model.as_text(tokenizer, tokens)), library_text(model, tokenizer)
    if said == expected:
        return f"{so} it still says {said!r}: to answer is not to be right."
    return f"{so} it says {said!r}, where the course's says {expected!r}."


def _why_not(outcome: Call) -> str:
    return "it takes too long" if outcome.late else f"it stops with {outcome.error!r}"


# ----------------------------------------------------------------------------------------------- for learners


@dataclass(repr=False)
class MyModel:
    """A chat model, some of whose parts are the learner's. `assemble` makes it."""

    model: GPT
    tokenizer: BPETokenizer
    name: str
    judgements: dict[str, Judgement]
    parts: dict[str, Callable[..., Any]]  # those in use
    together: Comparison
    missing: str = ""  # why it is not the real model
    turns: list[tuple[str, str]] = field(default_factory=list)  # what was said so far, and by whom
    given: dict[str, Any] = field(default_factory=dict)  # the learner's, right or not
    heard: str = ""  # what it says with the parts that are wrong
    kept: dict[str, Callable[..., Any]] = field(default_factory=dict)  # those of them that go on speaking
    helpers: dict[str, Callable[..., Any]] = field(default_factory=dict)  # beside the parts, right ones
    beside: str = ""  # what was found about helpers

    @property
    def yours(self) -> list[str]:
        """The parts that are the learner's, and right."""
        return [part for part, judged in self.judgements.items() if judged.yours]

    def chat(
        self,
        question: str,
        *,
        temperature: float = 0.7,
        top_p: float = 0.9,
        max_new_tokens: int = 80,
        generator: torch.Generator | None = None,
        forget: bool = False,
    ) -> str:
        """Ask something; the answer streams below the cell. The model knows what was said before.

        Args:
            question: in any words.
            temperature, top_p: what your sampler gets; at temperature 0 an answer repeats itself.
            max_new_tokens: where a long answer is cut.
            generator: for repeatable draws.
            forget: what was said before.
        Returns: the answer.
        Raises: ValueError: the conversation is longer than the model's context; a setting out of range.
        """
        if not (temperature >= 0 and 0 < top_p <= 1):
            raise ValueError(
                "temperature must be 0 or more, top_p above 0 and at most 1; "
                f"got temperature {temperature} and top_p {top_p}"
            )
        turns = [*([] if forget else self.turns), ("user", question)]
        prompt = self.helpers.get("chat_form", pretrained.conversation)(turns)
        kind = Lending if self.kept else Assembled
        assembled = kind(self.model, self.tokenizer, self.parts | self.kept)
        ids = assembled.encode(prompt)
        room = self.model.config.max_seq_len - len(ids)
        if room < max_new_tokens:
            raise ValueError(
                f"the conversation has {len(ids)} tokens, so {max_new_tokens} new ones do not fit into "
                f"{self.model.config.max_seq_len}: begin anew with forget=True"
            )
        written = assembled.write(ids, max_new_tokens, temperature, top_p, generator)
        hear, answer, column = listener(), "", 0
        for piece in self._text((token for token, _ in written)):
            answer += piece
            if column > FULL and piece.startswith(" "):  # Jupyter would break the line within a word
                piece = f"\n{piece[1:]}"
            hear(piece)
            column = len((" " * column + piece).rpartition("\n")[2])
        hear("\n")
        self.turns = [*turns, ("assistant", answer)]
        return answer

    def _text(self, tokens: Iterable[int]) -> Iterator[str]:
        """The text of tokens as they come, decoded by the learner's function where there is one."""
        decode, tokenizer = self.helpers.get("decoding"), self.tokenizer
        if decode is None:
            return real_model.as_text(tokenizer, tokens)

        def own(ids: Sequence[int]) -> str:
            return str(decode([tokenizer.token_bytes(i) for i in ids]))

        return real_model.as_text(
            SimpleNamespace(decode=own, special_tokens=tokenizer.special_tokens), tokens
        )

    def certificate(self, name: str = "", seed: int = 0) -> "Certificate":
        """Measure what there is to say, and show it; `.save("certificate.html")` keeps it.

        Args:
            name: yours, as it is to stand there.
            seed: of the sentence that is drawn.
        Raises: ValueError: the name is too long.
        """
        from course_lib.concepts.c09_real_models.capstone.certificate import certified

        return certified(self, name, seed)

    def speed(self) -> float:
        """Written tokens a second, as a multiple of those of the course's torch path with a cache.

        Measured three times, eight tokens in a row, without the prompt before them; the ratio in the middle.
        """
        n_new, rounds = 8, 3
        ids = self.tokenizer.encode(pretrained.chat_prompt(QUESTION))
        assembled = Assembled(self.model, self.tokenizer, self.parts)
        cache = self.model.new_cache(capacity=len(ids) + (rounds + 1) * n_new)
        with torch.no_grad():
            _, stored = assembled.read(ids)
            self.model(torch.tensor([ids]), cache)

            def write() -> None:
                nonlocal stored
                for token in ids[:n_new]:  # which tokens does not matter
                    _, stored = assembled.read([token], stored)

            def write_by_library() -> None:
                for token in ids[:n_new]:
                    self.model(torch.tensor([[token]]), cache)

            rounds_of_both = costs.alternate([write, write_by_library], rounds)
        return statistics.median(library / own for own, library in zip(*rounds_of_both, strict=True))

    def save(self, path: str | Path) -> Path:
        """Write one Python file that chats by itself: `python my_chat.py "Why is the sky blue?"`.

        It holds your parts, with all that they need, and the course's plain version of the others;
        `take_along(path)` takes your parts out of it.

        Raises: ValueError: a part is no function of a notebook or a file, or two parts use one name for two
            things.
        """
        return write_program(path, {part: self.given[part] for part in self.yours}, self.helpers)

    def story(self, seed: int) -> str:
        """What the sampler draws with this seed, asked for a story."""
        generator = torch.Generator().manual_seed(seed)
        assembled = Assembled(self.model, self.tokenizer, self.parts)
        ids = assembled.encode(pretrained.chat_prompt(STORY))
        written = assembled.write(ids, N_TOKENS, 0.7, 0.9, generator)
        return "".join(real_model.as_text(self.tokenizer, (token for token, _ in written))).strip()

    def __repr__(self) -> str:
        return f"MyModel: {self.name}, {len(self.yours)} of {len(PARTS)} parts yours"

    def __str__(self) -> str:
        return self.report()

    def report(self, said: Sequence[str] = ()) -> str:
        """What was found, without the lines that were said before."""
        judged = self.judgements.values()
        lines = [f"{len(self.yours)} of {len(PARTS)} parts are yours.", self.heard]
        known = [one.part for one in judged if one.before] if said else []
        if known:
            lines.append(f"✓ yours as before: {', '.join(known)}")
        lines += [str(one) for one in judged if one.given and one.written and one.part not in known]
        stubs = [one.part for one in judged if one.given and not one.written]
        others = [one.part for one in judged if not one.given]
        if stubs:
            lines.append(f"· not written yet, so the course's: {', '.join(stubs)}")
        if others:
            lines.append(f"· the course's: {', '.join(others)}")
        lines.append(self.beside)
        found = self.together
        if found.same and self.yours:
            text = f"{found.text.strip()!r}"
            if self.kept:
                lines.append(f"For comparison, with the course's {', '.join(self.kept)}: {text}.")
            else:
                lines.append(f"Together they write {text}, as the course's do; {found.how_far}.")
        elif found.same and not self.heard and not self.kept:
            lines.append(f"It says {found.text.strip()!r}")
        if found.late:
            lines.append(
                "Each part is right, but together they did not finish in time, so they were not compared: "
                "assemble(..., seconds=60) gives them more."
            )
        return "\n".join(line for line in (self.missing, *lines) if line and line not in said)


def helping(candidates: Mapping[str, Any]) -> tuple[dict[str, Any], str]:
    """Which of the learner's helpers their own checks find right, and a line about each that is written."""
    right, lines = {}, []
    for name, function in candidates.items():
        its = HELPERS[name]
        found = examine(find_task(its.task), function, finale=False)
        if found.passed:
            right[name] = function
            lines.append(f"✓ {its.function}: yours, in the chat")
        elif not found.not_written:
            lines.append(f"✗ {its.function}: {found.problem} The course's is used in the chat.")
    others = [HELPERS[name].function for name in HELPERS if name not in right]
    if right and others:
        lines.append(f"· the course's in the chat: {', '.join(others)}")
    return right, "\n".join(lines)


def assemble(
    taken: "Mapping[str, Any] | MyModel | None" = None,
    /,
    *,
    tokenizer: Any = None,
    embedding: Any = None,
    rms_norm: Any = None,
    rotation: Any = None,
    attention: Any = None,
    mlp: Any = None,
    block: Any = None,
    forward: Any = None,
    cache: Any = None,
    sampler: Any = None,
    seconds: float = 10.0,
    keep_faults: bool = False,
    **others: Any,
) -> MyModel:
    """Build SmolLM2 from your parts, and show which of them agree with the course's inside it.

    A part that you do not give, or that differs, is the course's; but first you hear what the model says
    with those that differ. Where SmolLM2 is not installed, a small random model of the same family takes its
    place.

    Args:
        taken: what `take_along` found, or a model that you assembled before; what you name beside it goes
            before it, unless it is not written yet.
        tokenizer: your `tokenizer_at_work`.
        embedding: your `vectors_in_out`.
        rms_norm: your `rms_norm`.
        rotation: your `rotate_pairs`.
        attention: your `grouped_attention`.
        mlp: your `gated_mlp`.
        block: your `pre_norm_block`.
        forward: your `forward_pass`.
        cache: your `extend_cache`.
        sampler: your `next_probabilities`.
        seconds: time limit of each use of a part.
        keep_faults: let `chat` speak with the parts that differ, too.
        others: there are no other parts.
    Raises: ValueError: a part that there is not, or one that is not named.
    """
    by_name = {
        "tokenizer": tokenizer,
        "embedding": embedding,
        "rms_norm": rms_norm,
        "rotation": rotation,
        "attention": attention,
        "mlp": mlp,
        "block": block,
        "forward": forward,
        "cache": cache,
        "sampler": sampler,
    }
    if isinstance(taken, str | Path):
        raise ValueError(f"a file is read by take_along: assemble(take_along({str(taken)!r}))")
    if not isinstance(taken, Mapping | MyModel | None):
        raise ValueError(_not_a_part(getattr(taken, "__name__", describe(taken))))
    named = others | {part: it for part, it in by_name.items() if it is not None}
    for name in (*_parts_of(taken), *named):
        if name not in PARTS:
            raise ValueError(_not_a_part(name))
    hear, said = listener(), []

    def say(line: str) -> None:
        said.append(line)
        hear("".join(f"{fitting(one)}\n" for one in line.split("\n")))

    if not _met:
        say("Loading SmolLM2 ...")
    missing = ""
    try:
        model, words = _real()
        name = "SmolLM2-135M-Instruct"
    except pretrained.MissingModelError as error:
        model, words = small_model()
        name = "a small random model of SmolLM2's family"
        missing = f"This is {name}, which writes no sense, because SmolLM2 is missing: {error}"
    if missing:
        say(missing)
    if model not in _met:
        say("It reads a prompt; what goes into each part there is kept ...")
        _met.add(model)
    built = assembled(
        model, words, named, name, taken=taken, seconds=seconds, missing=missing, keep=keep_faults, say=say
    )
    report = built.report(said)
    show(report, as_markup(report))
    return built


def _parts_of(taken: Mapping[str, Any] | MyModel | None) -> Mapping[str, Any]:
    return taken.given if isinstance(taken, MyModel) else taken or {}


def _not_a_part(name: str) -> str:
    """What to do with a name that is no part's, such as that of a part's function."""
    part = next((part for part, its in PARTS.items() if its.function == name), None)
    if part is None:
        return f"the parts are {', '.join(PARTS)}, each given by its name; got {name!r}"
    return f"`{name}` is the part {part}: assemble({part}={name})"


_met: set[GPT] = set()  # the models of earlier calls
# What was found once and holds as long as the code is the same: right parts, by model, part and code, and
# models that write as the course's model does, by model and the code of their parts.
_right: dict[tuple[GPT, str, str], Judgement] = {}
_right_together: dict[tuple[GPT, frozenset[str]], Comparison] = {}


def assembled(
    model: GPT,
    tokenizer: BPETokenizer,
    given: Mapping[str, Any],
    name: str,
    *,
    taken: Mapping[str, Any] | MyModel | None = None,
    seconds: float,
    missing: str = "",
    keep: bool = False,
    say: Callable[[str], Any] = lambda line: None,
) -> MyModel:
    """As `assemble`, for a given model. Nothing is shown, but `say` gets each finding when it is there."""
    uses = recorded(model, tokenizer)
    judgements, chosen = {}, {}
    for part in PARTS:
        candidates = [its[part] for its in (given, _parts_of(taken)) if part in its]
        judgements[part], chosen[part] = _first_written(model, part, candidates, uses[part], seconds)
        if judgements[part].yours and not judgements[part].before:
            say(str(judgements[part]))
    ours = library_parts(tokenizer)
    limit = 12 * seconds
    faults = {part: chosen[part] for part, judged in judgements.items() if judged.wrong and judged.audible}
    heard = heard_with(faults, model, tokenizer, 3 * seconds) if faults and not keep else ""
    if heard:
        say(heard)
    for part, judged in judgements.items():
        if judged.wrong:
            judgements[part] = replace(judged, kept=keep and part in faults)
            say(str(judgements[part]))

    def in_use() -> dict[str, Any]:
        return {part: chosen[part] if judgements[part].yours else ours[part] for part in PARTS}

    def yours() -> list[str]:
        return [part for part, judged in judgements.items() if judged.yours]

    together = _together(model, tokenizer, in_use(), yours(), limit, say)
    if yours() and not together.same and not together.late:
        say(
            f"Together the {len(yours())} parts write something else than the course's. Which of them does? "
            f"Each is tried alone, all of them in {limit:g} s at most ..."
        )
        blamed = _to_blame(
            yours(), limit, lambda part, left: compared(model, tokenizer, ours | {part: chosen[part]}, left)
        )
        for part, why in blamed.items():
            judgements[part] = Judgement(part, problem=f"right on each use, but not in the whole: {why}")
        together = compared(model, tokenizer, in_use(), limit)
    kept = {part: chosen[part] for part, judged in judgements.items() if judged.kept}
    helpers, beside = helping(taken.helpers if isinstance(taken, Taken | MyModel) else {})
    return MyModel(
        *(model, tokenizer, name, judgements, in_use(), together, missing),
        given={part: its for part, its in chosen.items() if judgements[part].given},
        heard=heard,
        kept=kept,
        helpers=helpers,
        beside=beside,
    )


def _first_written(
    model: GPT, part: str, candidates: Sequence[Any], uses: Sequence[Use], seconds: float
) -> tuple[Judgement, Any]:
    """The first of the candidates that is no stub: what was found about it, and the candidate."""
    judged, learner = Judgement(part, given=False), None
    for learner in candidates:
        key = model, part, code_of(part, learner)
        judged = _right.get(key) or judge(part, learner, uses, seconds)
        if judged.yours and key[-1]:
            _right[key] = replace(judged, before=True)
        if judged.written:
            break
    return judged, learner


def _together(
    model: GPT,
    tokenizer: BPETokenizer,
    parts: Parts,
    yours: Sequence[str],
    seconds: float,
    say: Callable[[str], Any],
) -> Comparison:
    """The whole model beside the course's; nothing is tried again whose code is the same."""
    codes = [code_of(part, parts[part]) for part in yours]
    key = model, frozenset(codes)
    if key in _right_together:
        return _right_together[key]
    say("Now together ..." if yours else "It answers a question ...")
    found = compared(model, tokenizer, parts, seconds if yours else 600.0)
    if found.same and all(codes):
        _right_together[key] = found
    return found


def _to_blame(
    parts: Sequence[str], seconds: float, alone: Callable[[str, float], Comparison]
) -> dict[str, str]:
    """Which parts are wrong among the course's, and why; all, where none is found in time.

    Who is late is not to blame: those before it may have taken the time.
    """
    keeps = "does it keep something from one call to the next?"
    end = time.monotonic() + seconds
    found = {}
    for part in parts:
        left = end - time.monotonic()
        its = alone(part, left) if left > 0 else None
        if its is not None and not (its.same or its.late):
            found[part] = its.problem or keeps
    return found or dict.fromkeys(parts, keeps)


# ------------------------------------------------------------------------------------------------- the models


def _real() -> tuple[GPT, BPETokenizer]:
    """SmolLM2 on the CPU, where a learner's part need not think of devices.

    Raises: MissingModelError: it is not installed.
    """
    model, tokenizer = real_model.smollm2()
    return (model, tokenizer) if model.lm_head.weight.device.type == "cpu" else _on_cpu()


@functools.cache
def _on_cpu() -> tuple[GPT, BPETokenizer]:
    return pretrained.load_smollm2(device=torch.device("cpu"))
