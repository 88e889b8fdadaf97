"""The certificate of an assembled model: what was measured, as a page or a picture, and how anyone checks it.

    certificate = my_model.certificate("Ada")
    certificate.save("certificate.html")          or certificate.png

`certificate.html` and `certificate.css` are the page, `picture` the picture; `floor_plan` says where
each part stands in both. Nothing leaves the machine.
"""

import ast
import datetime
import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import torch

import course_lib
from course_lib.concepts.c09_real_models.capstone import floor_plan, taking_along
from course_lib.concepts.c09_real_models.capstone.parts import QUESTION, STORY
from course_lib.concepts.c09_real_models.capstone.taking_along import PARTS

if TYPE_CHECKING:
    from course_lib.concepts.c09_real_models.capstone.assembly import MyModel

LONGEST_NAME = 60


@dataclass(frozen=True, repr=False)
class Certificate:
    """What was measured of a model, to be shown and saved.

    Attributes:
        name: the learner's; may be empty.
        model: what the weights are.
        n_layers: of the model.
        is_real: it is SmolLM2, and no small random model in its place.
        measured: for each part that is the learner's how often it was used and how far it is off.
        answer: to the question, at temperature 0; empty where it did not come to its end in time.
        compared: how the answer and its scores stand beside the course's.
        drawn: the sentence that the sampler drew with this seed.
        speed: of writing, as a multiple of the course's.
        digest: of the code of the learner's parts; empty where there is none.
        no_digest: why there is none.
        date: the day.
    """

    name: str
    model: str
    n_layers: int
    is_real: bool
    measured: Mapping[str, str]
    answer: str
    compared: str
    drawn: str
    seed: int
    speed: float
    digest: str
    no_digest: str = ""
    date: datetime.date = field(default_factory=datetime.date.today)

    @property
    def headline(self) -> str:
        """How much the learner wrote; where there is a name, the sentence begins with it."""
        n = len(self.measured)
        how_many = "all" if n == len(PARTS) else f"{n or 'none'} of the"
        return (
            f"{'' if self.name else 'The learner '}wrote {how_many} {len(PARTS)} parts of this Transformer."
        )

    @property
    def weights(self) -> str:
        """What the model is."""
        if self.is_real:
            return f"The weights are those of {self.model}, {self.n_layers} layers."
        return (
            "This is not SmolLM2, which is not installed here, but a small random model of its family, "
            f"{self.n_layers} layers: what it writes makes no sense."
        )

    @property
    def conversation(self) -> list[tuple[str, str, str]]:
        """Question, answer, and what is to be said about the answer."""
        drawn = f"drawn with seed {self.seed}, temperature 0.7, top-p 0.9"
        return [(QUESTION, self.answer, self.compared), (STORY, self.drawn, drawn)]

    @property
    def pace(self) -> str:
        """How fast it writes."""
        about = f"{self.speed:.2f} times as fast as" if abs(self.speed - 1) > 0.1 else "about as fast as"
        return f"On this machine it writes {about} the course's own model."

    @property
    def check(self) -> str:
        """How anyone finds the same: what to do before the lines of `code`, and what is the same then."""
        if not self.digest:
            return self.no_digest
        return (
            'How to check it: my_model.save("my_chat.py") keeps the code. Whoever has that file runs the '
            "two lines below in the course's notebook my_transformer, and reads the same sentences and the "
            "same digest, from which the seal is drawn. The speed is the machine's, and so is the rounding: "
            "in rare cases it chooses another word."
        )

    @property
    def code(self) -> list[str]:
        """What makes the certificate anew."""
        lines = ['mine = take_along("my_chat.py")', f"assemble(mine).certificate(seed={self.seed})"]
        return lines if self.digest else []

    @property
    def versions(self) -> str:
        """What it was made with."""
        return f"Made with the course {course_lib.__version__} and torch {torch.__version__}."

    @property
    def day(self) -> str:
        """The date in words."""
        return f"{self.date.day} {self.date:%B %Y}"

    @property
    def seal(self) -> list[floor_plan.Line]:
        """A ray for each byte of the digest, from -1 to 1 on both axes: other code, another seal."""
        rays: list[floor_plan.Line] = []
        digest = bytes.fromhex(self.digest)
        for i, byte in enumerate(digest):
            angle = 2 * math.pi * i / len(digest) - math.pi / 2
            x, y = math.cos(angle), math.sin(angle)
            length = 0.5 + 0.5 * byte / 255
            rays.append(((0.35 * x, 0.35 * y), (length * x, length * y)))
        return rays

    @property
    def digest_in_groups(self) -> str:
        """The digest as it can be read and broken into lines."""
        return " ".join(self.digest[i : i + 8] for i in range(0, len(self.digest), 8))

    def save(self, path: str | Path) -> Path:
        """Write it as a page (.html) or as a picture (.png).

        Raises: ValueError: another kind of file; a folder that does not exist; a name that the picture's
            fonts cannot write.
        """
        path = Path(path)
        if path.suffix not in (".html", ".png"):
            raise ValueError(f"a certificate is a page (.html) or a picture (.png); got {str(path)!r}")
        if not path.parent.is_dir():
            raise ValueError(f"there is no folder {str(path.parent)!r}: make it, or choose another path")
        if path.suffix == ".html":
            path.write_text(self._rendered(page=True), encoding="utf-8")
        else:
            from course_lib.concepts.c09_real_models.capstone import picture

            picture.draw(self).savefig(path)
        return path

    def _rendered(self, *, page: bool) -> str:
        """The page, or what stands on it."""
        # Imported here, as in the ledger: whoever assembles a model does not need it.
        import jinja2

        environment = jinja2.Environment(
            loader=jinja2.FileSystemLoader(Path(__file__).parent),
            autoescape=True,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        template = environment.get_template("certificate.html")
        return template.render(it=self, page=page, parts=PARTS, plan=floor_plan)

    def _repr_html_(self) -> str:
        return self._rendered(page=False)

    def __repr__(self) -> str:
        width = max(map(len, PARTS))
        lines = [f"MY TRANSFORMER, {self.day}", f"{self.name} {self.headline}".lstrip(), self.weights]
        lines += [f"  {part:{width}}  {self.measured.get(part, floor_plan.NOT_YOURS)}" for part in PARTS]
        lines += [f"{q}\n  {answer!r}, {about}" for q, answer, about in self.conversation]
        lines += [self.pace, self.versions, self.check, *(f"  {line}" for line in self.code)]
        return "\n".join([*lines, *([f"Digest: {self.digest_in_groups}"] if self.digest else [])])


def certified(model: "MyModel", name: str, seed: int) -> Certificate:
    """Measure what the certificate says.

    Raises: ValueError: see `MyModel.certificate`.
    """
    name = " ".join(str(name).split())
    if len(name) > LONGEST_NAME:
        raise ValueError(f"the name has {len(name)} characters, of which {LONGEST_NAME} fit")
    found = model.together
    if found.problem:
        compared = f"not compared with the course's, because {found.problem}"
    else:
        alike = "the same as the course's" if found.same else f"the course's says {found.text_of_library!r}"
        compared = f"at temperature 0, {alike}; {found.how_far}"
    digest, no_digest = _digest(model)
    return Certificate(
        name=name,
        model=model.name,
        n_layers=model.model.config.n_layers,
        is_real=not model.missing,
        measured={part: model.judgements[part].measured for part in model.yours},
        answer=found.text.strip(),
        compared=compared,
        drawn=model.story(seed),
        seed=seed,
        speed=model.speed(),
        digest=digest,
        no_digest=no_digest,
    )


def _digest(model: "MyModel") -> tuple[str, str]:
    """The digest of the code of the learner's parts, or why there is none."""
    if not model.yours:
        return "", "There is nothing to check: no part is the learner's yet."
    functions = {PARTS[part].function: model.given[part] for part in model.yours}
    try:
        code = taking_along.source_of(functions)
    except ValueError as error:
        return "", f"Nobody else can check it: {error}."
    return digest_of(code), ""


def digest_of(code: str) -> str:
    """The digest of what code does: its order, imports, comments and docstrings may be others in a file.

    Example:
        >>> digest_of("def f(x): return x") == digest_of("def f(x):\\n    'Itself.'\\n    return x  # x")
        True
    """
    tree = ast.parse(code)
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef) and ast.get_docstring(node) is not None:
            node.body = node.body[1:]
    statements = [node for node in tree.body if not isinstance(node, ast.Import | ast.ImportFrom)]
    return hashlib.sha256("\n".join(sorted(map(ast.unparse, statements))).encode()).hexdigest()
