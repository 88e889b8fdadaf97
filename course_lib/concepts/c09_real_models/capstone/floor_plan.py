"""Where each part stands in the certificate's drawing of the model, from top to bottom.

The colours are those of notebooks/images/whole_model.svg.
"""

from dataclasses import dataclass

from course_lib import plots

Line = tuple[tuple[float, float], ...]  # its corners

WIDTH, HEIGHT = 300, 696
GREY = plots.STREAM
NOT_YOURS = "the course's"  # what is said of a part that is not the learner's


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
    does: str = ""  # a step of the part that is no task of its own: an outline

    @property
    def label(self) -> str:
        """What stands in the box."""
        return self.does or self.part


# What stands around other parts. Reading a text is all from the table to the scores.
FRAMES = (
    Box("forward", plots.SKY, 4, 78, 292, 549, 16),
    Box("block", GREY, 24, 142, 248, 366, 12, behind=(12, 6)),
)
BOXES = (
    Box("tokenizer", GREY, 44, 28, 212, 32),
    Box("embedding", plots.SKY, 44, 92, 212, 32),
    Box("rms_norm", GREY, 118, 170, 140, 26, 13),
    Box("rotation", GREY, 118, 222, 94, 28),
    Box("cache", GREY, 164, 260, 94, 28),
    Box("attention", plots.ATTENTION, 118, 298, 140, 32),
    Box("forward", plots.SKY, 118, 340, 140, 26, does="out_proj"),
    Box("rms_norm", GREY, 118, 398, 140, 26, 13),
    Box("mlp", plots.MLP, 118, 434, 140, 32),
    Box("rms_norm", GREY, 44, 532, 212, 26, 13),
    Box("forward", plots.SKY, 44, 570, 212, 28, does="the table again"),
    Box("sampler", GREY, 44, 641, 212, 32),
)
STREAM: Line = ((76, 124), (76, 532))
SUMS = ((76, 382), (76, 482))  # where the block adds
WIRES: tuple[Line, ...] = (
    ((150, 20), (150, 28)),
    ((150, 60), (150, 92)),
    ((76, 156), (188, 156), (188, 170)),
    ((141, 196), (141, 222)),  # queries, which are turned
    ((188, 196), (188, 222)),  # keys, which are turned and kept
    ((235, 196), (235, 260)),  # values, which are kept
    ((141, 250), (141, 298)),
    ((188, 250), (188, 260)),
    ((188, 288), (188, 298)),
    ((235, 288), (235, 298)),
    ((188, 330), (188, 340)),
    ((188, 366), (188, 382), (76, 382)),
    ((188, 424), (188, 434)),
    ((188, 466), (188, 482), (76, 482)),
    ((150, 558), (150, 570)),
    ((150, 598), (150, 641)),
    ((150, 673), (150, 681)),
)
# The words that stand free: a place in their middle, on the base line, and what they say.
WORDS = (
    (150, 14, "a text"),
    (132, 213, "q"),
    (179, 213, "k"),
    (226, 213, "v"),
    (150, 694, "the next token"),
)
