"""Where each part stands in the certificate's drawing of the model, from top to bottom."""

from dataclasses import dataclass

from course_lib import plots

Line = tuple[tuple[float, float], ...]  # its corners

WIDTH, HEIGHT = 300, 620
LIBRARYS = "the library's"  # what is said of a part that is not the learner's


@dataclass(frozen=True)
class Box:
    """A part: its colour, the upper left corner of its box, and the box's size."""

    part: str
    colour: str
    x: int
    y: int
    width: int
    height: int
    radius: int = 8
    behind: tuple[int, ...] = ()  # how far off the boxes behind it stand: there are many of them


# What stands around other parts. Reading a text is all from the table to the scores.
FRAMES = (
    Box("forward", plots.SKY, 4, 82, 292, 464, 16),
    Box("block", plots.STREAM, 24, 154, 248, 318, 12, behind=(12, 6)),
)
BOXES = (
    Box("tokenizer", plots.SKY, 44, 28, 212, 34),
    Box("embedding", plots.SKY, 44, 98, 212, 34),
    Box("rms_norm", plots.YELLOW, 124, 186, 128, 26, 13),
    Box("rotation", plots.QUERY, 124, 226, 128, 28),
    Box("cache", plots.KEY, 124, 264, 128, 28),
    Box("attention", plots.ATTENTION, 124, 302, 128, 34),
    Box("rms_norm", plots.YELLOW, 124, 362, 128, 26, 13),
    Box("mlp", plots.MLP, 124, 400, 128, 34),
    Box("rms_norm", plots.YELLOW, 44, 498, 212, 26, 13),
    Box("sampler", plots.SKY, 44, 562, 212, 34),
)
STREAM: Line = ((76, 132), (76, 498))
SUMS = ((76, 349), (76, 446))  # where the block adds
WIRES: tuple[Line, ...] = (
    ((150, 20), (150, 28)),
    ((150, 62), (150, 98)),
    ((76, 170), (188, 170), (188, 186)),
    ((188, 212), (188, 302)),
    ((188, 336), (188, 349), (76, 349)),
    ((188, 388), (188, 400)),
    ((188, 434), (188, 446), (76, 446)),
    ((150, 524), (150, 562)),
    ((150, 596), (150, 604)),
)
ENDS = ((150, 14, "a text"), (150, 618, "the next token"))
