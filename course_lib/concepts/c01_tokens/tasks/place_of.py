"""Where does a city lie?

Nobody told MiniLM where cities lie, but its texts did, without meaning to: who writes of Lyon often
writes of Marseille too. So one can find an unknown city from its row in the table, given the rows and the
places of N others. Let these vote.

First take the mean of the known rows off every row, also off the unknown one: what is left says how a city
differs from the others. Call the known rows, so centred, X. Then X Xᵀ (N, N) holds how alike each two known
cities are, as a dot product, and k = X (row - mean) holds how alike the unknown one is to each. The votes w
(N) are the solution of

    (X Xᵀ + ridge · I) w = k

where I has 1 on the diagonal and 0 elsewhere. The unknown city lies at the mean of the known places, moved
by each vote times the way from there to the voter's place. A negative vote pushes away.

Why is k itself not enough? Cities that are alike would all say the same and count several times: the
equation lets them share. And why the ridge? A row has 384 numbers, so that 67 cities can be placed without
any error in many ways, most of them wild. The larger the ridge, the smaller the votes, and the nearer the
guess to the middle. This is least squares, by which the lesson reads letters from rows, with a ridge. Who
knows it as one matrix from X to places, with Xᵀ X (D, D) on the left side, may write that: it gives the
same numbers.

Then your function gets MiniLM's rows, each brought to length 1. It places each of 68 cities by the others,
and draws a map.

Hint: `rows.mean(axis=0)` is the mean row, `places.mean(axis=0)` the middle. Both are made of known cities
alone.

Hint: `x @ x.T + ridge * np.eye(len(x))` is the left side, with x = rows - mean. `np.linalg.solve(left,
right)` finds w.

Hint: `votes @ (places - middle)` adds up all ways, each times its vote.
"""

from collections import Counter

import numpy as np

from course_lib.checks import real_model
from course_lib.checks.exercise import Exercise
from course_lib.checks.inputs import between, draw
from course_lib.checks.kinds import Case
from course_lib.checks.values import WrongForm, numbers_of

RIDGE = 0.3  # from 0.1 to 1 the median stays within 30 km
RIDGE_OF_LETTERS = 10.0  # the best of 1, 3, 10, 30 and 100
FURTHEST = 0.01  # degrees, about a kilometre; rounding takes a place 0.0001 away
EARTH = 6371  # its radius in km
LANDMARKS = ("lisbon", "london", "oslo", "rome", "athens", "kiev")
COUNTRIES = """
france spain portugal ireland scotland england belgium switzerland italy germany austria denmark norway sweden
finland poland hungary croatia serbia greece bulgaria romania turkey latvia estonia ukraine russia
"""

exercise = Exercise(level=3, minutes=15, section="Years")


@exercise.solution
def place_of(rows, places, row, ridge):
    """Where an unknown city lies, by the votes of known ones.

    Args:
        rows: (N, D), the rows of the known cities; not to be changed.
        places: (N, 2), latitude and longitude of each.
        row: (D,), that of the unknown city.
        ridge: a number above 0.
    Returns: (2,), latitude and longitude.
    """
    ### BEGIN SOLUTION
    mean, middle = rows.mean(axis=0), places.mean(axis=0)
    x = rows - mean
    alike = x @ x.T + ridge * np.eye(len(x), dtype=x.dtype)
    votes = np.linalg.solve(alike, x @ (row - mean))
    return middle + votes @ (places - middle)
    ### END SOLUTION


@exercise.cases
def _(rng):
    def inputs(n, d, one_latitude=False):
        while True:
            # Rows of a real table have much in common: it shows where their mean is not taken off.
            common, apart, row = draw(rng, d), draw(rng, n, d), draw(rng, d)
            places = np.stack([rng.uniform(36, 60, n), rng.uniform(-9, 38, n)], axis=1).round(1)
            if one_latitude:
                places[:, 0] = between(rng, 36, 60)
            made = {
                "rows": (common + apart).round(1),
                "places": places.astype(np.float32),
                "row": (common + row).round(1),
                "ridge": float(rng.choice([0.5, 1.5, 3.5])),
            }
            moved = np.abs(place_of(**made) - made["places"].mean(axis=0))
            # The unknown city is not in the middle, nor so far away that it is nowhere on Earth.
            if (moved > 1)[one_latitude:].all() and (moved < 60).all():
                return made

    return [
        Case("two cities, two numbers", inputs(2, 2)),
        Case("more numbers than cities", inputs(5, 13), catches="a singular value for each number"),
        Case("more cities than numbers", inputs(7, 3), catches="a singular value for each city"),
        Case(
            "all cities on one latitude",
            inputs(5, 5, one_latitude=True),
            catches="divided by a spread of 0",
        ),
    ]


# ------------------------------------------------------------------------------------------ in the real table


def is_one_token(tokenizer, word):
    ids = tokenizer.encode(word)
    return len(ids) == 1 and ids[0] not in tokenizer.special_tokens.values()


def rows_of(model, tokenizer, words):
    """The rows of some words, each one token, in a model's table; each of length 1, (N, D)."""
    ids = [tokenizer.encode(word)[0] for word in words]
    rows = model.token_embedding.weight.detach()[ids].cpu().numpy()
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def pieces_of(words):
    """How often each run of one to three letters stands in a word, (N, so many runs)."""
    counted = []
    for word in words:
        letters = f" {word} "
        counted.append(Counter(letters[i : i + n] for n in (1, 2, 3) for i in range(len(letters) - n + 1)))
    runs = sorted(set().union(*counted))
    return np.array([[count[run] for run in runs] for count in counted], dtype=np.float64)


def left_out(place, rows, places, ridge):
    """Each city's place by those of the others, one after the other."""
    for i, row in enumerate(rows):
        others = np.arange(len(rows)) != i
        yield place(rows[others], places[others], row.copy(), ridge)


def kilometres(places, others):
    """From each place to its other, along the surface of the Earth."""
    (north, east), (other_north, other_east) = np.radians(places).T, np.radians(others).T
    cosines = np.sin(north) * np.sin(other_north)
    cosines += np.cos(north) * np.cos(other_north) * np.cos(east - other_east)
    return EARTH * np.arccos(np.clip(cosines, -1, 1))


def mapped(place, model, tokenizer, words):
    """A map of where some words lie by the rows of all cities; in capitals a few of these, where they are.

    Below it stands what has no room on it, and which words are not one token.
    """
    from course_lib.data import cities  # here, because only the finale needs torch

    rows, places = rows_of(model, tokenizer, cities()), np.array([*cities().values()], dtype=np.float32)
    known = [word for word in words if is_one_token(tokenizer, word)]
    found = {name.upper(): cities()[name] for name in LANDMARKS}
    for word, row in zip(known, rows_of(model, tokenizer, known), strict=True):
        found[word] = place(rows, places, row, RIDGE)
    lines, left = drawn(found)
    lines += [f"{word}: {spoken(found[word])}" for word in left]
    lines += [f"{word}: not one token" for word in words if word not in known]
    return "\n".join(lines)


def drawn(places, width=64, height=17):
    """The lines of a map of Europe, each word where it lies or a line off; and the words without room."""
    lines, left = [[" "] * (width + 12) for _ in range(height)], []
    for word, (north, east) in places.items():
        line, column = round((60 - north) / 24 * (height - 1)), round((east + 10) / 40 * width)
        for near in (line, line + 1, line - 1):
            room = lines[near][max(column - 1, 0) : column + len(word) + 1] if 0 <= near < height else []
            if column >= 0 and len(room) > len(word) and set(room) == {" "}:
                lines[near][column : column + len(word)] = word
                break
        else:
            left.append(word)
    return ["".join(line).rstrip() for line in lines], left


@exercise.finale
@real_model.with_minilm("say where cities lie")
def places_cities(learner, model, tokenizer):
    """Let the learner's function place each city by the others, beside rivals, and then draw countries."""
    from course_lib.data import cities  # as above

    names, places = list(cities()), np.array([*cities().values()], dtype=np.float32)
    rows = rows_of(model, tokenizer, names)
    place = checked(learner)
    yield f"Your function places each of {len(names)} cities by MiniLM's rows of the others:\n"
    guesses = []
    for name, guess, true in zip(names, left_out(place, rows, places, RIDGE), places, strict=True):
        guesses.append(guess)
        if len(guesses) % 10 == 1:
            yield f"  {name}: {spoken(guess)}, {kilometres(guess, true):,.0f} km from where it lies\n"
    centred = rows - rows.mean(axis=0)
    centred /= np.linalg.norm(centred, axis=1, keepdims=True)
    nearest = (centred @ centred.T - 2 * np.eye(len(rows))).argmax(axis=1)
    letters = pieces_of(names)
    ways = {
        "your function": guesses,
        "the city whose row is nearest": places[nearest],
        "the same by the letters of the names": [*left_out(place_of, letters, places, RIDGE_OF_LETTERS)],
        "the middle of the other cities": [*left_out(middle_of, rows, places, RIDGE)],
    }
    yield "How far are they off? The median:\n"
    for way, found in ways.items():
        yield f"  {way}: {np.median(kilometres(np.array(found), places)):.0f} km\n"
    yield "\nCountries, of which none was among the known rows. In capitals a few cities, where they are. "
    yield "A word begins at its place.\n\n"
    yield mapped(place, model, tokenizer, COUNTRIES.split())
    yield "\n\nOuter ones lie too far inside: where a row says little, the ridge answers with the middle.\n"


def middle_of(rows, places, row, ridge):
    """A place that asks no row."""
    return places.mean(axis=0)


def checked(learner):
    """The learner's function, compared with ours at each call.

    Raises: WrongForm (when called): it gives another place.
    """

    def place(rows, places, row, ridge):
        expected = place_of(rows, places, row, ridge)
        got = numbers_of(learner(rows.copy(), places.copy(), row.copy(), ridge), False)
        if got.shape != expected.shape or not np.abs(got - expected).max() < FURTHEST:
            raise WrongForm(
                f"With {len(rows)} real rows of {rows.shape[1]} numbers your function gives {got.round(2)}, "
                f"expected {expected.round(2)}."
            )
        return expected

    return place


def spoken(place):
    """A place in words."""
    north, east = place
    return f"{north:.1f} north, {abs(east):.1f} {'east' if east >= 0 else 'west'}"


# ------------------------------------------------------------------------------------------ what is taken off

exercise.changed(
    "rows not centred",
    "The rows are as they came: take the mean of the known rows off all of them, also off the unknown one.",
    ("rows - mean", "rows"),
    ("(row - mean)", "row"),
)
exercise.changed(
    "the unknown row not centred",
    "The unknown row is as it came: take the mean of the known rows off it too.",
    ("(row - mean)", "row"),
)
exercise.changed(
    "the known rows not centred",
    "The mean was taken off the unknown row alone: take it off the known rows too.",
    ("rows - mean", "rows"),
)
exercise.changed(
    "the unknown row in the mean",
    "The unknown row went into the mean: take that of the known rows alone.",
    ("rows.mean(axis=0)", "np.vstack([rows, row]).mean(axis=0)"),
)
exercise.changed(
    "each row's own mean",
    "Each row lost the mean of its own numbers: take off the mean row, one mean for each of the D numbers, "
    "`rows.mean(axis=0)`.",
    ("rows - mean", "rows - rows.mean(axis=1, keepdims=True)"),
    ("(row - mean)", "(row - row.mean())"),
)
exercise.changed(
    "one mean for all numbers",
    "One number was taken off everywhere, the mean of the whole table: each of the D numbers has its own, "
    "`rows.mean(axis=0)`.",
    ("rows.mean(axis=0)", "rows.mean()"),
)
exercise.changed(
    "the mean place not added",
    "This is the way from the middle alone: add the mean of the known places.",
    ("middle + votes", "votes"),
)
exercise.changed(
    "nothing centred",
    "Nothing is centred: take the mean row off all rows, and add the mean place in the end.",
    ("rows - mean", "rows"),
    ("(row - mean)", "row"),
    ("middle + votes @ (places - middle)", "votes @ places"),
)
exercise.changed(
    "the mean place added to places",
    "The rows are as they came, and the mean place was added to votes for whole places: take the mean row "
    "off all rows.",
    ("rows - mean", "rows"),
    ("(row - mean)", "row"),
    ("(places - middle)", "places"),
)


@exercise.mistake("a constant held small")
def _(rows, places, row, ridge):
    """A column of ones stands in place of the means, and the ridge draws its weight, which is the middle,
    towards 0. Take off the means, or keep the ridge off that column.
    """
    x, unknown = np.column_stack([rows, np.ones(len(rows))]), np.append(row, 1)
    return np.linalg.solve(x @ x.T + ridge * np.eye(len(x)), x @ unknown) @ places


# -------------------------------------------------------------------------------------------------- the ridge

exercise.changed(
    "ridge left out",
    "The ridge does not reach the result: add it to the diagonal of X Xᵀ.",
    ("np.linalg.solve(alike, x @ (row - mean))", "np.linalg.pinv(x @ x.T, rcond=1e-5) @ x @ (row - mean)"),
)
exercise.changed(
    "ridge in every place",
    "The ridge was added to every number of X Xᵀ: it belongs on the diagonal, `ridge * np.eye(N)`.",
    ("ridge * np.eye(len(x), dtype=x.dtype)", "ridge"),
)
exercise.changed(
    "ridge squared",
    "The ridge was squared. Where rows are appended for `lstsq`, they hold its root.",
    ("ridge * np.eye", "ridge**2 * np.eye"),
)
exercise.changed(
    "the root of the ridge",
    "The root of the ridge was added to the diagonal: add the ridge itself.",
    ("ridge * np.eye", "ridge**0.5 * np.eye"),
)
exercise.changed(
    "ridge times N",
    "The ridge was multiplied by N, as if X Xᵀ were a mean over the cities: add it as it comes.",
    ("ridge * np.eye", "len(x) * ridge * np.eye"),
)
exercise.changed(
    "ridge taken off",
    "The ridge was taken off the diagonal: add it.",
    ("+ ridge", "- ridge"),
)

# -------------------------------------------------------------------------------------------------- the votes

exercise.changed(
    "votes not solved",
    "The votes are k itself, how alike the unknown city is to each: cities that are alike say the same. "
    "Solve the equation.",
    ("np.linalg.solve(alike, x @ (row - mean))", "x @ (row - mean)"),
)
exercise.changed(
    "multiplied, not solved",
    "k was multiplied by the left side: w is what the left side must be multiplied by to give k, "
    "`np.linalg.solve(left, k)`.",
    ("np.linalg.solve(alike, x @ (row - mean))", "alike @ x @ (row - mean)"),
)
exercise.changed(
    "each city on its own",
    "k was divided by the diagonal, so that each city votes as if it were alone: solve all equations "
    "together.",
    ("np.linalg.solve(alike, x @ (row - mean))", "x @ (row - mean) / alike.diagonal()"),
)
exercise.changed(
    "a softmax for the votes",
    "The votes are a softmax, as in attention: here they solve the equation, and may be negative.",
    (
        "votes = np.linalg.solve(alike, x @ (row - mean))",
        "powers = np.exp(x @ (row - mean))\n    votes = powers / powers.sum()",
    ),
)
exercise.changed(
    "the place of the most alike",
    "This is the place of the one city that is most alike: let all vote.",
    ("middle + votes @ (places - middle)", "places[(x @ (row - mean)).argmax()]"),
)
exercise.changed(
    "rows of length 1 before",
    "The rows were brought to length 1: take them as they come.",
    (
        "mean, middle = rows",
        "row = row / np.linalg.norm(row)\n"
        "    rows = rows / np.linalg.norm(rows, axis=1, keepdims=True)\n"
        "    mean, middle = rows",
    ),
)
exercise.changed(
    "rows of length 1",
    "The centred rows were brought to length 1, so that cosines are compared: take the dot products.",
    ("rows - mean", "(rows - mean) / np.linalg.norm(rows - mean, axis=1, keepdims=True)"),
    ("(row - mean)", "(row - mean) / np.linalg.norm(row - mean)"),
)
exercise.changed(
    "numbers of one spread",
    "Each of the D numbers was divided by its spread: only their means are taken off.",
    ("rows - mean", "(rows - mean) / (rows.std(axis=0) + 1e-9)"),
    ("(row - mean)", "((row - mean) / (rows.std(axis=0) + 1e-9))"),
)

# ------------------------------------------------------------------------------------------- along which axis

exercise.changed(
    "D x D in place of N x N",
    "The left side is Xᵀ X, (D, D), which fits the votes of N cities only where N is D: they need X Xᵀ.",
    ("x @ x.T", "x.T @ x"),
)
exercise.changed(
    "N x N in place of D x D",
    "A matrix from D numbers to places needs Xᵀ X, (D, D), on its left side: X Xᵀ, (N, N), fits only where N "
    "is D.",
    ("np.linalg.solve(alike, x @ (row - mean))", "(row - mean) @ np.linalg.solve(alike, x.T)"),
)
exercise.changed(
    "numbers for cities",
    "The unknown row was multiplied by Xᵀ, which fits only where N is D: k has a number for each city, "
    "X (row - mean).",
    ("x @ (row - mean)", "(row - mean) @ x"),
)
exercise.changed(
    "latitude and longitude exchanged",
    "Latitude and longitude have changed places: the latitude comes first, as in `places`.",
    ("middle + votes @ (places - middle)", "(middle + votes @ (places - middle))[::-1]"),
)
