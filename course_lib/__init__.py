"""The reference implementations behind the course "Transformers, one experiment per claim".

Submodules are imported when first used, so `import course_lib` costs nothing:

    >>> import course_lib
    >>> course_lib.maths.softmax([0.0, 0.0]).tolist()
    [0.5, 0.5]
"""

import importlib
from types import ModuleType

__version__ = "0.1.0"

_SUBMODULES = (
    "maths",
    "bpe",
    "attention",
    "mixers",
    "positions",
    "patches",
    "blocks",
    "encoder",
    "decoder",
    "encoder_decoder",
    "numpy_decoder",
    "recurrent",
    "device",
    "data",
    "embeddings",
    "objectives",
    "training",
    "generation",
    "gguf_file",
    "pretrained",
    "plots",
    "claims",
    "checks",
    "widgets",
)


def __getattr__(name: str) -> ModuleType:
    if name in _SUBMODULES:
        return importlib.import_module(f"{__name__}.{name}")
    raise AttributeError(f"course_lib has no module {name!r}; it has {', '.join(_SUBMODULES)}")


def __dir__() -> list[str]:
    return sorted([*globals(), *_SUBMODULES])
