"""From which pieces did it learn?

Somebody hands you the matrix of a trained patch layer, and does not remember how the pictures were cut.
Each piece of a grey picture went in as P numbers, and row i of the matrix (P, D) is what number i adds to
the piece's vector. Were the pieces squares of 4 x 4 pixels, or did a wrong cut make tiles of 2 x 8? How
well the reader reads does not tell. The matrix does: pixels that lie beside each other are dark or light
together more often than others are, so training has moved their rows in similar ways.

So measure, for each shape that a piece may have had, how alike its neighbours would be. First take the mean
row off every row, then bring each row to length 1. In a tile of h lines with w pixels each, h w = P, number
i lies in line i // w, at place i % w of it. Neighbours are two pixels of which one lies right beside the
other, or right below it. Take the dot product of their rows, for each pair of neighbours once; the mean of
all these is the tile's number. Return a tensor with a number for each tile. The largest names the shape.

Then readers of digits learn, each from pieces of another shape, and your function gets their matrices.

Hint: `rows.unflatten(0, (height, width))` lays the rows out as the pixels lie in the tile: (height, width,
D).

Hint: `tile[:, :-1] * tile[:, 1:]` multiplies each row with the one to its right. What do you exchange for
the one below?

Hint: A tile of one line has no neighbours below. So put all dot products together, `torch.cat([right,
below])`, and take one mean of them.
"""

import numpy as np
import torch
from torch import nn

from course_lib.blocks import TransformerStack, initialise
from course_lib.checks.exercise import Exercise
from course_lib.checks.inputs import draw, in_torch, primes, repeatable
from course_lib.checks.kinds import Case
from course_lib.checks.values import WrongForm, numbers_of
from course_lib.concepts.c02_patches.tasks.digit_reader import train_reader

SHAPES = [(4, 4), (2, 8), (8, 2)]  # all tiles of 16 pixels that fill a picture of 8 x 8
WIDTH = 32
# With 20 starts all 60 readers got the right name, their own tile 0.11 to 0.21, others 0.08 at most; of
# shuffled pixels 6 of 20. With the rates of `digit_reader` the start is still seen: 2 of 15 got a wrong one.
RATES = {"learning_rate": 0.01, "muon_learning_rate": 0.04}
FURTHEST = 1e-4  # rounding moves a mean by less than a hundredth of that

exercise = Exercise(level=3, minutes=15, section="Which pieces?", tensor=True)


@exercise.solution
def neighbours_alike(matrix, tiles):
    """How alike are the rows of pixels that would be neighbours in a tile, for each tile?

    Args:
        matrix: (P, D), a row for each of the P numbers of a piece; no row is the mean of all.
        tiles: a list of pairs (height, width), each with height x width = P, which is at least 4.
    Returns: (number of tiles,), for each the mean dot product of all pairs of neighbours.
    """
    ### BEGIN SOLUTION
    rows = matrix - matrix.mean(0)
    rows = rows / rows.norm(dim=1, keepdim=True)
    means = []
    for height, width in tiles:
        tile = rows.unflatten(0, (height, width))
        right = (tile[:, :-1] * tile[:, 1:]).sum(-1)
        below = (tile[:-1] * tile[1:]).sum(-1)
        means.append(torch.cat([right.flatten(), below.flatten()]).mean())
    return torch.stack(means)
    ### END SOLUTION


@exercise.cases
def _(rng):
    def inputs(p, d, *tiles):
        tiles = [tiles[i] for i in rng.permutation(len(tiles))]
        while True:
            # Rows of a real matrix have something in common: it shows where their mean is not taken off.
            matrix = (draw(rng, d) + draw(rng, p, d)).round(1)
            rows = matrix - matrix.mean(axis=0)
            alike = neighbours_alike(torch.from_numpy(matrix), tiles).abs()
            if np.linalg.norm(rows, axis=1).min() > 0.3 and alike.min() > 0.02 and alike.max() < 0.98:
                return {"matrix": matrix, "tiles": tiles}

    p, d = primes(rng, 5, 7)
    return in_torch(
        [
            Case("six pixels, two numbers for each", inputs(6, 2, (2, 3), (3, 2))),
            Case("one line, one column", inputs(p, d, (1, p), (p, 1)), catches="a mean of no neighbours"),
            Case("a single tile", inputs(15, d, (3, 5)), catches="a single tile without its axis"),
            Case(
                "as many numbers as pixels",
                inputs(16, 16, *SHAPES),
                catches="columns in place of rows",
            ),
        ]
    )


# ----------------------------------------------------------------------------------------- readers that learn


class TileReader(nn.Module):
    """A reader of digits of 8 x 8 pixels as in the lesson, whose pieces are tiles of any shape.

    Args:
        tile: height and width of a piece, 16 pixels in all.
        order: of the 64 pixels, in which they are laid out before the cut; None: as they are.
    """

    def __init__(self, tile, order=None):
        super().__init__()
        self.tile, self.order = tile, order
        self.embedding, self.head = nn.Linear(16, WIDTH), nn.Linear(WIDTH, 10)
        self.class_token = nn.Parameter(torch.empty(1, 1, WIDTH))
        self.position_embedding = nn.Parameter(torch.empty(1, 5, WIDTH))
        self.stack = TransformerStack(WIDTH, n_layers=1, n_heads=4, d_ff=2 * WIDTH)
        initialise(self)

    @property
    def matrix(self):
        """A row of 32 numbers for each of the 16 of a piece."""
        return self.embedding.weight.detach().mT.clone()

    def cut(self, images):
        """(B, 1, 8, 8) to (B, 4, 16)."""
        height, width = self.tile
        if self.order is not None:
            images = images.flatten(1)[:, self.order].reshape(images.shape)
        blocks = images[:, 0].unflatten(2, (8 // width, width)).unflatten(1, (8 // height, height))
        return blocks.transpose(2, 3).flatten(3).flatten(1, 2)

    def forward(self, images):
        pieces = self.embedding(self.cut(2 * images - 1))
        x = torch.cat([self.class_token.expand(len(pieces), -1, -1), pieces], dim=1)
        return self.head(self.stack(x + self.position_embedding)[:, 0])


def made(tile, seed, shuffled=False):
    """A reader that has not learned yet."""
    with repeatable(seed):
        return TileReader(tile, torch.randperm(64) if shuffled else None)


@exercise.finale
def names_pieces(learner):
    """Let readers learn from three kinds of pieces, and the learner's function name each by its matrix."""
    alike = checked(learner)
    yield "Readers of digits learn, a few seconds each. Your function sees nothing but their matrices.\n\n"
    yield line("learned from", "digits read", [spoken(tile) for tile in SHAPES], "your function names")
    shares, n_right = [], 0
    for tile in SHAPES:
        reader = made(tile, seed=0)
        shares.append(train_reader(reader, **RATES))
        means = alike(reader.matrix)
        n_right += named(means) == tile
        yield row(spoken(tile), f"{shares[-1]:.1%}", means)
    shuffled = made(SHAPES[0], seed=0, shuffled=True)
    share = train_reader(shuffled, **RATES)
    yield row("pixels shuffled", f"{share:.1%}", alike(shuffled.matrix))
    yield row("nothing yet", "", alike(made(SHAPES[0], seed=0).matrix))
    yield (
        f"\nYour function names {n_right} of 3 rightly; with 20 other starts ours named 60 of 60. The share "
        f"of digits read does not tell: for these three it lies between {min(shares):.1%} and "
        f"{max(shares):.1%}, though 2 x 8 is what a bare reshape makes of such pictures. In the last two "
        "lines a name is chance: all pixels had been shuffled in one and the same way before the cut, or "
        "nothing had been learned.\n"
    )


def checked(learner):
    """From a reader's matrix to a number for each of `SHAPES`, by the learner's function.

    Raises: WrongForm (when called): it gives other numbers than ours.
    """

    def alike(matrix):
        expected = neighbours_alike(matrix, SHAPES).numpy()
        got = numbers_of(learner(matrix.clone(), list(SHAPES)), True)
        if got.shape != expected.shape or not np.abs(got - expected).max() < FURTHEST:
            raise WrongForm(
                f"With a reader's matrix {tuple(matrix.shape)} your function gives {got.round(3)}, expected "
                f"{expected.round(3)}."
            )
        return expected

    return alike


def named(means):
    """The shape whose neighbours are most alike."""
    return SHAPES[means.argmax()]


def row(what, share, means):
    """A line of the table."""
    return line(what, share, [f"{mean:.2f}" for mean in means], spoken(named(means)))


def line(what, share, columns, name):
    return f"{what:<15}{share:>13}" + "".join(f"{column:>8}" for column in columns) + f"   {name}\n"


def spoken(tile):
    """A shape in words."""
    return f"{tile[0]} x {tile[1]}"


# ------------------------------------------------------------------------------------------ what is taken off

exercise.changed(
    "rows not centred",
    "The rows are as they came: take the mean row off all of them, so that what they have in common does not "
    "count.",
    ("matrix - matrix.mean(0)", "matrix"),
)
exercise.changed(
    "each row's own mean",
    "Each row lost the mean of its own numbers: take off the mean row, one mean for each of the D columns, "
    "`matrix.mean(0)`.",
    ("matrix.mean(0)", "matrix.mean(1, keepdim=True)"),
)
exercise.changed(
    "one mean for all numbers",
    "One number was taken off everywhere, the mean of the whole matrix: each of the D columns has its own, "
    "`matrix.mean(0)`.",
    ("matrix.mean(0)", "matrix.mean()"),
)
exercise.changed(
    "each row's own mean as well",
    "Each row lost the mean of its own numbers too, as in a correlation (`corrcoef`): take off the mean row "
    "alone.",
    ("rows / rows.norm", "rows - rows.mean(1, keepdim=True)\n    rows = rows / rows.norm"),
)
exercise.changed(
    "centred last",
    "The rows were brought to length 1 before the mean row was taken off, so their lengths are no longer 1: "
    "first the mean, then the lengths.",
    ("matrix - matrix.mean(0)", "matrix / matrix.norm(dim=1, keepdim=True)"),
    ("rows / rows.norm(dim=1, keepdim=True)", "rows - rows.mean(0)"),
)
exercise.changed(
    "the sum taken off",
    "The sum of the rows was taken off each: take off their mean, `matrix.mean(0)`.",
    ("matrix.mean(0)", "matrix.sum(0)"),
)

# ---------------------------------------------------------------------------------------------------- lengths

exercise.changed(
    "not brought to length 1",
    "The rows keep their lengths, so a few long ones decide: divide each by its length, `rows.norm(dim=1, "
    "keepdim=True)`.",
    ("rows / rows.norm(dim=1, keepdim=True)", "rows"),
)
exercise.changed(
    "columns of length 1",
    "The columns were brought to length 1: it is the rows that are compared, so divide by "
    "`rows.norm(dim=1, keepdim=True)`.",
    ("dim=1", "dim=0"),
)
exercise.changed(
    "both along the other axis",
    "The mean and the length were both taken along the wrong axis: the mean row is `matrix.mean(0)`, and the "
    "lengths of the rows are `rows.norm(dim=1, keepdim=True)`.",
    ("matrix.mean(0)", "matrix.mean(1, keepdim=True)"),
    ("dim=1", "dim=0"),
)
exercise.changed(
    "columns of one spread",
    "Each column was divided by its spread: bring each row to length 1 instead.",
    ("rows.norm(dim=1, keepdim=True)", "rows.std(0)"),
)
exercise.changed(
    "one length for all",
    "All rows were divided by one number, the length of the whole matrix: each has a length of its own, "
    "`rows.norm(dim=1, keepdim=True)`.",
    ("rows.norm(dim=1, keepdim=True)", "rows.norm()"),
)
exercise.changed(
    "the longest row has length 1",
    "All rows were divided by the length of the longest: divide each by its own.",
    ("rows.norm(dim=1, keepdim=True)", "rows.norm(dim=1).max()"),
)
exercise.changed(
    "sizes that sum to 1",
    "Each row was divided by the sum of the sizes of its numbers: its length is the root of the sum of their "
    "squares.",
    ("rows.norm(dim=1", "rows.abs().sum(dim=1"),
)
exercise.changed(
    "divided by squared lengths",
    "Each row was divided by the square of its length: take the root.",
    ("keepdim=True)", "keepdim=True) ** 2"),
)
exercise.changed(
    "the mean of the products",
    "The products of two rows were averaged over the D columns: a dot product adds them up.",
    ("(tile[:, :-1] * tile[:, 1:]).sum(-1)", "(tile[:, :-1] * tile[:, 1:]).mean(-1)"),
    ("(tile[:-1] * tile[1:]).sum(-1)", "(tile[:-1] * tile[1:]).mean(-1)"),
)
exercise.changed(
    "columns in place of rows",
    "The columns of the matrix were compared, as if it were `nn.Linear.weight`, which is (D, P): here it is "
    "(P, D), and row i belongs to number i of a piece.",
    ("matrix - matrix.mean(0)", "matrix.mT - matrix.mT.mean(0)"),
)

# ----------------------------------------------------------------------------------------- who is a neighbour

exercise.changed(
    "height and width exchanged",
    "Height and width are exchanged: a line has w pixels, so number i lies in line i // w, at place i % w.",
    ("(height, width))", "(width, height))"),
)
exercise.changed(
    "beside alone",
    "Only pixels beside each other were compared: those below each other are neighbours too.",
    ("[right.flatten(), below.flatten()]", "[right.flatten()]"),
)
exercise.changed(
    "below alone",
    "Only pixels below each other were compared: those beside each other are neighbours too.",
    ("[right.flatten(), below.flatten()]", "[below.flatten()]"),
)
exercise.changed(
    "corners too",
    "Pixels that touch at a corner count as neighbours here: take those right beside and right below alone.",
    (
        "below.flatten()]",
        "below.flatten(), (tile[:-1, :-1] * tile[1:, 1:]).sum(-1).flatten(), "
        "(tile[1:, :-1] * tile[:-1, 1:]).sum(-1).flatten()]",
    ),
)
exercise.changed(
    "one step right and down at once",
    "Each pixel was compared with the one to the right in the next line: a neighbour lies beside it in the "
    "same line, or below it at the same place.",
    ("[right.flatten(), below.flatten()]", "[(tile[:-1, :-1] * tile[1:, 1:]).sum(-1).flatten()]"),
)
exercise.changed(
    "the end of a line beside the next",
    "Number i + 1 was taken for the neighbour of i everywhere: at the end of a line it is the first of the "
    "next one.",
    ("(tile[:, :-1] * tile[:, 1:]).sum(-1)", "(rows[:-1] * rows[1:]).sum(-1)"),
)
exercise.changed(
    "around the edge",
    "The last pixel of a line was compared with the first one (`torch.roll`): a tile ends at its edges.",
    ("tile[:, :-1] * tile[:, 1:]", "tile * tile.roll(-1, 1)"),
    ("tile[:-1] * tile[1:]", "tile * tile.roll(-1, 0)"),
)
exercise.changed(
    "two steps away",
    "Pixels with one between them were compared: neighbours have none between them.",
    ("tile[:, :-1] * tile[:, 1:]", "tile[:, :-2] * tile[:, 2:]"),
    ("tile[:-1] * tile[1:]", "tile[:-2] * tile[2:]"),
)
exercise.changed(
    "each with itself",
    "Each pixel counts as a neighbour of its own, with a dot product of 1: leave it out.",
    ("below.flatten()]", "below.flatten(), (rows * rows).sum(-1)]"),
)
exercise.changed(
    "all pairs",
    "All pairs of pixels were compared, so the shape of the tile does not matter: take neighbours alone.",
    (
        "[right.flatten(), below.flatten()]",
        "[(rows @ rows.mT)[~torch.eye(len(rows), dtype=torch.bool)]]",
    ),
)
exercise.changed(
    "all in a line or a column",
    "Each pixel was compared with all others of its line and of its column: take those right beside and "
    "right below alone.",
    (
        "[right.flatten(), below.flatten()]",
        "[(line @ line.mT)[~torch.eye(len(line), dtype=torch.bool)] "
        "for line in (*tile, *tile.transpose(0, 1))]",
    ),
)

# ------------------------------------------------------------------------------------------- what is returned

exercise.changed(
    "sums in place of means",
    "The dot products were added up, so a tile with more neighbours gets more: take their mean.",
    (".flatten()]).mean()", ".flatten()]).sum()"),
)
exercise.changed(
    "the mean of two means",
    "Pairs beside and pairs below each other were averaged apart, then both means: take one mean of all "
    "pairs, each of which counts once.",
    ("torch.cat([right.flatten(), below.flatten()]).mean()", "(right.mean() + below.mean()) / 2"),
)
exercise.changed(
    "each pixel's mean first",
    "The mean was taken for each pixel over its own neighbours, then over the pixels: take one mean of all "
    "pairs, each of which counts once.",
    (
        "torch.cat([right.flatten(), below.flatten()]).mean()",
        "means_of_pixels(tile).mean()",
    ),
)
exercise.changed(
    "divided by the number of pixels",
    "The sum was divided by P, the number of pixels: divide by the number of pairs.",
    (".flatten()]).mean()", ".flatten()]).sum() / len(rows)"),
)
exercise.changed(
    "each pair twice in the sum",
    "The numbers are twice as large as they should be: each pair stands twice in the sum, a with b and b "
    "with a, but was counted once.",
    (".flatten()]).mean()", ".flatten()]).mean() * 2"),
)
exercise.changed(
    "half of each",
    "The numbers are half as large as they should be: each pair stands once in the sum, but was counted "
    "twice, a with b and b with a.",
    (".flatten()]).mean()", ".flatten()]).mean() / 2"),
)
exercise.changed(
    "the median",
    "This is the median of the dot products: take their mean.",
    (".flatten()]).mean()", ".flatten()]).median()"),
)
exercise.changed(
    "the most alike",
    "This is the largest dot product of a tile: take the mean of all.",
    (".flatten()]).mean()", ".flatten()]).max()"),
)
exercise.changed(
    "signs lost",
    "The dot products lost their signs: rows that point in opposite directions are as unlike as can be.",
    (".flatten()]).mean()", ".flatten()]).abs().mean()"),
)
exercise.changed(
    "squared",
    "The dot products were squared: take them as they are.",
    (".flatten()]).mean()", ".flatten()]).square().mean()"),
)
exercise.changed(
    "distances",
    "These are mean distances, which are small where rows are alike: take the dot products.",
    ("(tile[:, :-1] * tile[:, 1:]).sum(-1)", "(tile[:, :-1] - tile[:, 1:]).norm(dim=-1)"),
    ("(tile[:-1] * tile[1:]).sum(-1)", "(tile[:-1] - tile[1:]).norm(dim=-1)"),
)
exercise.changed(
    "one less the cosine",
    "This is 1 less the mean, which is small where rows are alike: return the mean itself.",
    (".flatten()]).mean()", ".flatten()]).mean().mul(-1).add(1)"),
)
exercise.changed(
    "the best alone",
    "This says which tile is best: return the mean of each.",
    ("torch.stack(means)", "torch.stack(means).argmax()"),
)
exercise.changed(
    "which tile is best",
    "There is a 1 for the best tile and 0 for the others: return the mean of each.",
    ("torch.stack(means)", "(torch.stack(means) == max(means)).to(rows.dtype)"),
)
exercise.changed(
    "sorted",
    "The means are sorted: return them in the order of the tiles.",
    ("torch.stack(means)", "torch.stack(means).sort(descending=True)[0]"),
)
exercise.changed(
    "a softmax of the means",
    "A softmax was taken of the means: return the means themselves.",
    ("torch.stack(means)", "torch.stack(means).softmax(0)"),
)


def means_of_pixels(tile):
    """For each pixel the mean dot product with its own neighbours, (height, width); a mistake."""
    padded = nn.functional.pad(tile, (0, 0, 1, 1, 1, 1))
    there = nn.functional.pad(torch.ones_like(tile[..., 0]), (1, 1, 1, 1))
    ways = [(0, 1), (0, -1), (1, 0), (-1, 0)]
    height, width = tile.shape[:2]

    def moved(x, down, right):
        return x[1 + down : 1 + down + height, 1 + right : 1 + right + width]

    sums = sum((tile * moved(padded, *way)).sum(-1) for way in ways)
    return sums / sum(moved(there, *way) for way in ways)
