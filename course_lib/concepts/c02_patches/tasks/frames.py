"""A sound in frames

Cut a sound into frames: the first begins at sample 0, the next `hop` samples later, and so on. With a hop
below the frame length they overlap, with one above it samples are left out. What fills no whole frame at
the end is dropped. The sound may have any number of leading axes, such as a batch. The sound is at least
one frame long. Write it without `unfold`.

Hint: Frame n is `sound[..., n * hop : n * hop + frame_length]`. Where does the last frame that fits begin?

Hint: There are `(samples - frame_length) // hop + 1` frames. `torch.stack(pieces, dim=-2)` makes them rows.
"""

import torch

from course_lib.checks.exercise import Exercise
from course_lib.checks.inputs import all_different, in_torch
from course_lib.checks.kinds import Case

exercise = Exercise(
    level=2,
    minutes=10,
    section="Sound",
    forbidden=("torch.Tensor.unfold", "course_lib.patches.frames"),
    tensor=True,
)


@exercise.solution
def frames(sound, frame_length, hop):
    """Pieces of a sound, one every `hop` samples.

    Args:
        sound: (..., samples), floats or whole numbers.
        frame_length: samples in a frame, at most those of the sound.
        hop: samples from the beginning of one frame to that of the next, at least 1.
    Returns: (..., N, frame_length), whole frames only.
    """
    ### BEGIN SOLUTION
    n_frames = (sound.shape[-1] - frame_length) // hop + 1
    pieces = [sound[..., n * hop : n * hop + frame_length] for n in range(n_frames)]
    return torch.stack(pieces, dim=-2)
    ### END SOLUTION


@exercise.cases
def _(rng):
    def sound(*shape, length, hop):
        return {"sound": all_different(rng, *shape), "frame_length": length, "hop": hop}

    return in_torch(
        [
            Case("one sound of 8 samples", sound(8, length=3, hop=2)),
            Case(
                "no rest",
                sound(11, length=5, hop=3),
                catches="the last frame is missing where nothing is left",
            ),
            Case("gaps between the frames", sound(3, 29, length=3, hop=7), catches="never a gap"),
            Case(
                "two leading axes",
                sound(11, 3, 29, length=7, hop=5),
                catches="frames after the first axis",
            ),
            Case("one frame", sound(11, 8, length=7, hop=2), catches="axes of 1 dropped"),
        ]
    )


@exercise.mistake("the rest filled up")
def _(sound, frame_length, hop):
    """The rest at the end was filled up with zeros to one more frame: drop it."""
    rest = (frame_length - sound.shape[-1]) % hop
    return frames(torch.nn.functional.pad(sound, (0, rest)), frame_length, hop)


exercise.changed(
    "the last frame is missing",
    "The last whole frame is missing: there are (samples - frame_length) // hop frames after the first.",
    ("(sound.shape[-1] - frame_length) // hop + 1", "max((sound.shape[-1] - frame_length) // hop, 1)"),
)
exercise.changed(
    "the last frame is missing where nothing is left",
    "The last frame is missing where it ends exactly with the sound: it is a whole one.",
    ("(sound.shape[-1] - frame_length) // hop + 1", "(sound.shape[-1] - frame_length - 1) // hop + 1"),
)


@exercise.mistake("side by side")
def _(sound, frame_length, hop):
    """The frames lie side by side: each begins `hop` samples after the one before, not a frame length."""
    return frames(sound, frame_length, hop=frame_length)


@exercise.mistake("a frame at every sample")
def _(sound, frame_length, hop):
    """There is a frame at every sample: each begins `hop` samples after the one before."""
    return frames(sound, frame_length, hop=1)


@exercise.mistake("hop as overlap")
def _(sound, frame_length, hop):
    """`hop` was taken for the number of samples that two frames share: it is the distance between their
    beginnings.
    """
    return frames(sound, frame_length, hop=frame_length - hop)


@exercise.mistake("frames in columns")
def _(sound, frame_length, hop):
    """The result is transposed: one row per frame."""
    return frames(sound, frame_length, hop).mT


exercise.changed(
    "the first frame is missing",
    "The first frame is missing: it begins at sample 0.",
    ("range(n_frames)", "range(1, n_frames)"),
)


@exercise.mistake("centred frames")
def _(sound, frame_length, hop):
    """The first frame is centred at sample 0, with zeros before it: it begins there."""
    half = frame_length // 2
    return frames(torch.nn.functional.pad(sound, (half, half)), frame_length, hop)


@exercise.mistake("along the first axis")
def _(sound, frame_length, hop):
    """The first axis was cut: samples are the last axis, and what comes before stays as it is."""
    return frames(sound.movedim(0, -1), frame_length, hop)


exercise.changed(
    "frames before the leading axes",
    "The frames come before the leading axes: a batch of sounds stays the first axis.",
    ("dim=-2", "dim=0"),
)


exercise.changed(
    "frames after the first axis",
    "The frames are the second axis: with more leading axes they come behind all of these, `dim=-2`.",
    ("dim=-2", "dim=min(1, sound.ndim - 1)"),
)
exercise.changed(
    "the length of the first axis",
    "`len(sound)` is the length of the first axis, which may be a batch: samples are the last, "
    "`sound.shape[-1]`.",
    ("sound.shape[-1]", "len(sound)"),
)


@exercise.mistake("a bare reshape")
def _(sound, frame_length, hop):
    """The frames stood in columns, and a reshape gave them the right shape: that moves no number. Exchange
    the axes, or stack along `dim=-2`.
    """
    columns = frames(sound, frame_length, hop).mT
    return columns.reshape(*sound.shape[:-1], -1, frame_length)


@exercise.mistake("frame length and hop exchanged")
def _(sound, frame_length, hop):
    """Frame length and hop are exchanged: a frame has `frame_length` samples, the next begins `hop` later."""
    return frames(sound, hop, frame_length)


@exercise.mistake("hop as a gap")
def _(sound, frame_length, hop):
    """`hop` was taken for the samples between two frames: it is the distance between their beginnings."""
    return frames(sound, frame_length, hop=frame_length + hop)


@exercise.mistake("leading axes lost")
def _(sound, frame_length, hop):
    """All sounds were cut as one: the leading axes stay as they are."""
    return frames(sound.flatten(), frame_length, hop)


exercise.changed(
    "as many frames as fit side by side",
    "There are samples // frame_length frames: with a hop below the frame length there are more.",
    ("(sound.shape[-1] - frame_length) // hop + 1", "sound.shape[-1] // frame_length"),
)


@exercise.mistake("frames backwards")
def _(sound, frame_length, hop):
    """The frames come in the wrong order: the first begins at sample 0."""
    return frames(sound, frame_length, hop).flip(-2)
