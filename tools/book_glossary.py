"""The book's glossary: the terms of book/glossary.yml, with the other names that README has for ours."""

import re
from dataclasses import dataclass
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parent.parent
TERMS = ROOT / "book" / "glossary.yml"
NAMES = re.compile(r"\n## Other names for the same things\n\n.*?\n\|---.*?\n(.*?)\n\n", re.DOTALL)


@dataclass(frozen=True)
class Term:
    """A term: a sentence or two, the lesson and heading that show it, its other names, its name in code."""

    term: str
    says: str
    lesson: str
    also: tuple[str, ...] = ()
    here: str = ""


def terms() -> list[Term]:
    """All terms from A to Z."""
    found = [Term(**entry) for entry in yaml.safe_load(TERMS.read_text(encoding="utf-8"))]
    return sorted(found, key=lambda term: term.term.lower())


def other_names() -> dict[str, str]:
    """README's table: our names, and what others call the same."""
    (rows,) = NAMES.findall((ROOT / "README.md").read_text(encoding="utf-8"))
    return dict(row.strip("| ").split(" | ") for row in rows.split("\n"))


def row_of(name: str) -> tuple[str, str]:
    """The row of README's table that has a name of ours.

    Example:
        >>> row_of("d_ff")
        ('`d_ff`', '`intermediate_size`, `dim_feedforward`, `n_inner`')

    Raises: ValueError: none, or several have it.
    """
    found = [row for row in other_names().items() if name in re.findall(r"\w+(?: \w+)*", row[0])]
    if len(found) != 1:
        raise ValueError(f"one row of README's table has {name!r}; got {found}")
    return found[0]


def entry(term: Term) -> str:
    """A term as Sphinx's glossary has it; its heading leads to the lesson."""
    lesson, heading = term.lesson.split("#", 1)
    lines = [term.says]
    if term.also:
        lines.append(f"Also: {', '.join(term.also)}.")
    if term.here:
        lines.append("In code: {}; elsewhere: {}.".format(*row_of(term.here)))
    lines.append(f"[{lesson[:2]}, {heading}](<notebooks/{lesson}.ipynb#{heading.replace(' ', '-')}>)")
    return "\n".join([term.term, *(f"  {line}\n" for line in lines)])


def lay_ready(source: Path) -> None:
    """Write the page into a folder of Sphinx's source, in front of README's table."""
    page = source / "glossary.md"
    title, _, table = page.read_text(encoding="utf-8").partition("\n")
    body = "\n".join(map(entry, terms()))
    page.write_text(f"{title}\n\n```{{glossary}}\n{body}```\n\n## Names in code\n{table}", encoding="utf-8")
