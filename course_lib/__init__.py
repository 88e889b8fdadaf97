"""The reference implementations behind the course "Transformers, one experiment per claim".

Submodules are imported when first used, so `import course_lib` costs nothing:

    >>> import course_lib
    >>> course_lib.maths.softmax([0.0, 0.0]).tolist()
    [0.5, 0.5]
"""

import importlib
import pkgutil
from types import ModuleType

__version__ = "0.1.0"

# The files of this folder: what lies here is offered, and no list can be out of date.
_SUBMODULES = tuple(module.name for module in pkgutil.iter_modules(__path__))


def __getattr__(name: str) -> ModuleType:
    if name in _SUBMODULES:
        return importlib.import_module(f"{__name__}.{name}")
    raise AttributeError(f"course_lib has no module {name!r}; it has {', '.join(_SUBMODULES)}")


def __dir__() -> list[str]:
    return sorted([*globals(), *_SUBMODULES])
