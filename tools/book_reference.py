"""The book's pages on the library: a page for each row of the README's map, in the order of the imports.

autodoc and napoleon fill them from the docstrings; `as_rst` says what in these is not reStructuredText.
"""

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sphinx.application import Sphinx

ROOT = Path(__file__).resolve().parent.parent
FOLDER = "reference"
# A row of the README's map: module or folder, its floor, what it is.
ROW = re.compile(r"^\| `([a-z]\w*)/?` \| (\d)[^|]* \| ([^|]+) \|$", re.MULTILINE)
NO_PAGE = {"tasks", "answers", "__main__.py"}  # the exercises are pages of their own
LEADS = """# The library, name by name

What each module offers, from its own docstrings. Imports point down only: a module uses those above it on
this page, never one below, so this is also the order in which to read. Each name leads to its code; all from
A to Z stand in the {ref}`index <genindex>`.

Shapes stand in the signatures: B batch, T query positions, S key positions, D `d_model`, H heads, K `d_head`,
F `d_ff`, V vocabulary, C channels, N patches.
"""

FIELD = re.compile(
    r"^(Returns|Raises|Differs|Rival|Equal for \w+(?: \w+)?|Does not show|Example):(?: (.*))?$"
)
# Sphinx has the lines of a signature as a list without terms, which a screen reader cannot read.
LINES = re.compile(r'<dl>(\s*<dd><em class="sig-param".*?)</dl>', re.DOTALL)
KNOWN = ("Returns", "Raises", "Example")  # to napoleon, where they stand on a line of their own


def as_rst(lines: list[str], module: str = "") -> list[str]:
    """A docstring of ours as napoleon and reStructuredText read it.

    A formula is code; `Returns: what` is a field; signs that mean something else there are escaped.

    Args:
        lines: of the docstring.
        module: where it stands, so that names lead to their pages.
    """
    out: list[str] = []
    section = code = False
    for i, line in enumerate(lines):
        found = FIELD.match(line)
        if line and not line[0].isspace():
            if section:
                out.append("")
            section, code = bool(re.fullmatch(r"[A-Z][a-z]+:", line)), False
        elif line.startswith("    ") and not section and not code and not lines[i - 1].strip():
            out += [".. code-block:: text", ""]
            code = True
        if found and (found[2] or found[1] not in KNOWN):
            out += [] if section else [""]
            section = True
            label, told = found[1], inline(found[2] or "", module)
            raised = re.match(r"([\w.]+): (.*)", told) if label == "Raises" else None
            out += [f":raises {raised[1]}: {raised[2]}" if raised else f":{label}: {told}"]
        else:
            out.append(line if code or line.lstrip().startswith(">>>") else inline(line, module))
    return out


def inline(text: str, module: str = "") -> str:
    r"""A line: what stands in backticks is code, and a link where the library has such a name.

    Example:
        >>> print(inline("`a b`s of |m| * 2, and **named"))
        ``a b``\ s of \|m\| \* 2, and \*\*named
    """
    parts = re.split(r"(`[^`]+`)", text)
    for i, part in enumerate(parts):
        if i % 2 == 0:
            before = "\\ " * (i > 0 and part[:1].isalnum())
            after = "\\ " * (i < len(parts) - 1 and part[-1:].isalnum())
            escaped = re.sub(r"[\\|`]|(?<=\w)_(?!\w)|\*(?!\w[^*]*\w\*(?![\w*]))", r"\\\g<0>", part)
            escaped = re.sub(r"(?<!\\)(\*\w[^*]*\w)\\\*", r"\1*", escaped)
            parts[i] = before + escaped + after
        else:
            target = whole_name(part[1:-1], module)
            parts[i] = f":py:obj:`{part[1:-1]} <{target}>`" if target else f"`{part}`"
    return "".join(parts)


def whole_name(name: str, module: str) -> str:
    """The dotted name of what a module of the library calls by this name; "" where the library has none.

    Example:
        >>> import course_lib.attention
        >>> whole_name("query_positions", "course_lib.attention")
        'course_lib.positions.query_positions'
    """
    if f"course_lib.{name}" in sys.modules:
        return f"course_lib.{name}"
    first, _, rest = name.removesuffix("()").partition(".")
    found: Any = sys.modules.get(f"course_lib.{first}") or getattr(sys.modules.get(module), first, None)
    home = getattr(found, "__module__", getattr(found, "__name__", None))
    if not str(home).startswith("course_lib"):
        return ""
    return ".".join(filter(None, (home, getattr(found, "__qualname__", None), rest)))


def pages() -> dict[str, list[str]]:
    """The modules on each page by their dotted names, the page's own first."""
    found = {}
    for name, _, _ in ROW.findall((ROOT / "README.md").read_text(encoding="utf-8")):
        path = ROOT / "course_lib" / name
        inner = sorted(path.glob("c??_*")) if name == "concepts" else []
        for each in inner or [path]:
            files = sorted(each.rglob("*.py"), key=lambda file: (file.name != "__init__.py", file))
            files = [file for file in files if not NO_PAGE & set(file.parts)] or [each.with_suffix(".py")]
            found[each.stem] = [dotted(file) for file in files]
    return found


def dotted(path: Path) -> str:
    """The dotted name of a file of the library."""
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def lay_ready(source: Path) -> None:
    """Write the pages into a folder of Sphinx's source, and one that leads to them."""
    folder, every = source / FOLDER, pages()
    folder.mkdir()
    for name, modules in every.items():
        lines = [f"# {name}", ""]
        for module in modules:
            own = module.split(name, 1)[1].strip(".")
            lines += [f"## {own}" if own else "", "", "```{eval-rst}", f".. automodule:: {module}"]
            lines += ["    :members:", "    :ignore-module-all:"]
            lines += ["    :exclude-members: svds", "```", ""]  # SciPy's: autodoc cannot read its defaults
        (folder / f"{name}.md").write_text("\n".join(lines), encoding="utf-8")
    said = [LEADS]
    for name, floor, says in ROW.findall((ROOT / "README.md").read_text(encoding="utf-8")):
        inner = [page for page in every if re.match(r"c\d\d_", page)] if name == "concepts" else [name]
        said.append(f"- floor {floor}: {', '.join(f'[{page}]({page}.md)' for page in inner)}: {says}")
    said += ["", "```{toctree}", ":hidden:", "", *every, "```", ""]
    (folder / "index.md").write_text("\n".join(said), encoding="utf-8")


def as_blocks(lines: re.Match[str]) -> str:
    """The lines of a signature as blocks that mean nothing.

    Example:
        >>> LINES.sub(as_blocks, '<dl><dd><em class="sig-param">x</em>,</dd></dl>')
        '<div class="sig-lines"><div><em class="sig-param">x</em>,</div></div>'
    """
    return f'<div class="sig-lines">{lines[1].replace("<dd>", "<div>").replace("</dd>", "</div>")}</div>'


def setup(app: "Sphinx") -> dict[str, bool]:
    """autodoc, napoleon and viewcode, with our docstrings."""
    for extension in ("sphinx.ext.autodoc", "sphinx.ext.viewcode"):
        app.setup_extension(extension)

    def docstring(app: "Sphinx", what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
        module = name if what == "module" else getattr(obj, "__module__", None)
        lines[:] = as_rst(lines, str(module))

    def signature(
        app: "Sphinx", what: str, name: str, obj: Any, options: Any, told: str | None, returns: str | None
    ) -> tuple[str | None, str | None]:
        return told and told.replace("<factory>", "..."), returns  # else Sphinx cannot read it

    def signatures(app: "Sphinx", page: str, template: str, context: dict[str, Any], doctree: Any) -> None:
        context["body"] = LINES.sub(as_blocks, context.get("body", ""))

    app.connect("html-page-context", signatures)
    app.connect("autodoc-process-signature", signature)
    app.connect("autodoc-process-docstring", docstring, priority=400)  # before napoleon's
    app.setup_extension("sphinx.ext.napoleon")
    for name, value in {
        "add_module_names": False,
        "autodoc_inherit_docstrings": False,
        "autodoc_member_order": "bysource",
        "autodoc_preserve_defaults": True,
        "autodoc_typehints_format": "short",
        "python_use_unqualified_type_names": True,
        "maximum_signature_line_length": 88,  # a longer one has a line for each argument
        "viewcode_follow_imported_members": False,  # a page of an experiment has its code
        "html_domain_indices": False,
        "napoleon_numpy_docstring": False,
        "suppress_warnings": ["ref.python"],  # an annotation that two modules could mean
        "toc_object_entries": False,  # thousands of names, which each page's sidebar would copy
    }.items():
        app.config[name] = value
    # Code needs the room, and a sidebar for each of so many pages much of Sphinx's time.
    app.config["html_sidebars"]["_modules/**"] = []
    app.add_css_file("reference.css")
    return {"parallel_read_safe": True}
