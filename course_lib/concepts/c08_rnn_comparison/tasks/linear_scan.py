"""All states in a few rounds

Leave out the tanh, and a recurrence need not be computed step after step. Return all states of h_t = a_t
h_(t-1) + b_t, number by number, for a and b (B, T, D); before the first token h is 0, so h_0 = b_0. The
result is (B, T, D). Use whole-tensor operations of torch, in about log2 T rounds: two steps in a row, first
h -> a_1 h + b_1, then h -> a_2 h + b_2, are one step of the same form. T need not be a power of two. a may
be 0, below 0, or a millionth: what divides by products of a, or takes logarithms, fails there. The check
follows the graph that torch records, and the gradients that flow back through it: for T = 1,009 the longest
chain may have at most 300 operations (a loop has 2,000 and more). NumPy, `detach`, `no_grad` and a
`torch.autograd.Function` of your own would hide the chain, so leave them out. This is a parallel scan
(Hillis and Steele 1986; Blelloch 1990), and what makes state-space models train in parallel.

Hint: Put a_1 h + b_1 into a_2 h + b_2. Which a and which b does the step have that does both at once? Then
let each token hold such a step, at first its own.

Hint: In the first round let each token join its step with that of the token before it; then it holds two
steps. In the second round with that of two tokens before, then four, eight ... What about a token that has
none so far before it?

Hint: A round, with s = 1, 2, 4, ... below T: for tokens from s on, the new a is `a[:, s:] * a[:, :-s]` and
the new b is `a[:, s:] * b[:, :-s] + b[:, s:]`; the first s tokens keep what they have (`torch.cat`). After
the last round b is h.
"""

import numpy as np
import torch
from torch.autograd.graph import saved_tensors_hooks

from course_lib import costs
from course_lib.checks.exercise import Exercise
from course_lib.checks.inputs import in_torch
from course_lib.checks.kinds import Case, Property
from course_lib.checks.values import WrongForm, copied

LONG = 1009  # tokens of the case whose chain is counted
MOST_IN_A_ROW = 300  # operations: a loop has at least two for each token


def stays_at_the_front(result, inputs):
    """Whether the first state is the first b."""
    b = np.asarray(inputs["b"])
    if result.shape != b.shape or np.allclose(result[:, 0], b[:, 0], rtol=1e-5, atol=1e-5):
        return ""
    return "The first state is not b of the first token: before it, the state is 0."


exercise = Exercise(
    level=4,
    minutes=25,
    section="What came after",
    forbidden=(
        "course_lib.recurrent.linear_scan",
        "course_lib.recurrent.linear_recurrence",
    ),
    results=("states", "step after step"),
    tensor=True,
    properties=(Property("first state", stays_at_the_front),),
    on_trust="how long the chain is",
)


@exercise.solution
def linear_scan(a, b):
    """All states of h_t = a_t h_(t-1) + b_t, h_0 = b_0, in about log2 T rounds of whole-tensor operations.

    Args:
        a, b: (B, T, D), T at least 1.
    """
    ### BEGIN SOLUTION
    shift = 1
    while shift < a.shape[1]:
        later = a[:, shift:]
        b = torch.cat([b[:, :shift], later * b[:, :-shift] + b[:, shift:]], dim=1)
        a = torch.cat([a[:, :shift], later * a[:, :-shift]], dim=1)
        shift *= 2
    return b
    ### END SOLUTION


@exercise.adapt
def with_chain(learner):
    """Somebody's function, and in the long case whether its chain is too long."""

    def scanned(a, b):
        if a.shape[1] < LONG:
            return learner(a, b), torch.tensor(0)
        # Gradients show that the states come by the chain that is counted. Who writes over numbers in place
        # is right too, so copies are kept for the way back.
        with saved_tensors_hooks(copied, copied):
            states = learner(a.clone().requires_grad_(), b.clone().requires_grad_())
        if not isinstance(states, torch.Tensor):
            return states, torch.tensor(0)
        if states.grad_fn is None:
            raise WrongForm(
                "The chain cannot be counted, because torch has not recorded how the states were made: use "
                "torch's operations alone, and neither detach() nor no_grad()."
            )
        operations = costs.operations(states)
        if any(operation.hides for operation in operations):
            raise WrongForm(
                "The chain cannot be counted, because a torch.autograd.Function hides what is computed in "
                "it: call torch's operations themselves."
            )
        return states, torch.tensor(int(operations[-1].depth > MOST_IN_A_ROW))

    return scanned


@exercise.cases
def _(rng):
    def inputs(n_rows, t, d):
        a = rng.uniform(0.3, 1.1, (n_rows, t, d)) * rng.choice([-1, 1], (n_rows, t, d))
        b = rng.uniform(0.3, 2, a.shape) * rng.choice([-1, 1], a.shape)
        digits = 1 if a.size <= 30 else 4
        return {"a": a.round(digits).astype(np.float32), "b": b.round(digits).astype(np.float32)}

    long = inputs(1, LONG, 2)
    long["a"] = rng.uniform(0.2, 0.95, long["a"].shape).astype(np.float32)
    zero = inputs(2, 7, 3)
    zero["a"][:, 3] = 0
    return in_torch(
        [
            Case("three tokens", inputs(1, 3, 2)),
            Case("one token", inputs(1, 1, 2), catches="the logarithm of no tokens before"),
            Case("a is 0 at one token", zero, catches="divided by products"),
            Case("many tokens", long, gradients=True, catches="step after step"),
        ]
    )


# ------------------------------------------------------------------------------------------------ another way


@exercise.mistake("step after step")
def _(a, b):
    """The states are right, but one waits for the other: the chain has more than 300 operations for 1,009
    tokens. Join steps in pairs, then pairs of pairs: ten rounds are enough.
    """
    states = [b[:, 0]]
    for t in range(1, a.shape[1]):
        states.append(a[:, t] * states[-1] + b[:, t])
    return torch.stack(states, dim=1)


@exercise.mistake("divided by products")
def _(a, b):
    """b was divided by running products of a. Where an a is 0 that is 0/0, and a long product of small
    numbers is 0 to a computer: join steps without dividing.
    """
    products = a.cumprod(1)
    return products * (b / products).cumsum(1)


@exercise.mistake("logarithms")
def _(a, b):
    """This takes logarithms of a: numbers below 0 have none, and 0 gives infinity. Join steps
    without them.
    """
    products = a.log().cumsum(1).exp()
    return products * (b / products).cumsum(1)


# --------------------------------------------------------------------------------------- how steps are joined

exercise.changed(
    "joined in the wrong order",
    "Two steps are joined in the wrong order: the earlier comes first, so it is the later a that multiplies "
    "the earlier b.",
    ("later * b[:, :-shift] + b[:, shift:]", "a[:, :-shift] * b[:, shift:] + b[:, :-shift]"),
)


@exercise.mistake("wraps around")
def _(a, b):
    """The first tokens get steps from the end of the text (torch.roll wraps around): nothing comes before the
    first token.
    """
    shift = 1
    while shift < a.shape[1]:
        a, b = a * a.roll(shift, 1), a * b.roll(shift, 1) + b
        shift *= 2
    return b


exercise.changed(
    "a stays",
    "The a's of two joined steps were not multiplied: after the first round each token holds two steps, so "
    "its a is the product of two.",
    ("        a = torch.cat([a[:, :shift], later * a[:, :-shift]], dim=1)\n", ""),
)
exercise.changed(
    "a first",
    "a was already multiplied when b was joined: the new b needs the a of before the round.",
    ("later * b[:, :-shift]", "later * a[:, :-shift] * b[:, :-shift]"),
)

# ------------------------------------------------------------------------------------------------- the rounds

exercise.changed(
    "a round too few",
    "The last round is missing: right where T is a power of two, but elsewhere the last tokens do not reach "
    "the first ones. Shifts go on as long as they are below T.",
    ("shift < a.shape[1]", "2 * shift <= a.shape[1]"),
)
exercise.changed(
    "one round",
    "There is one round only, so each state knows the token before it and no others: go on with shifts of "
    "2, 4, 8 ...",
    ("while shift <", "if shift <"),
)
exercise.changed(
    "shifts that grow by one",
    "The shifts are 1, 2, 3 ...: a token that holds two steps joins with one two tokens before, then it "
    "holds four. So shifts double.",
    ("shift *= 2", "shift += 1"),
)

# ------------------------------------------------------------------------------------- which a, which b, when

exercise.changed(
    "one token late",
    "These are the states before each token: h_t has b_t in it.",
    ("return b", "return torch.cat([torch.zeros_like(b[:, :1]), b[:, :-1]], dim=1)"),
)


@exercise.mistake("a of the token before")
def _(a, b):
    """h is multiplied by the a of the token before: it is a_t that belongs to token t."""
    return linear_scan(torch.cat([torch.zeros_like(a[:, :1]), a[:, :-1]], dim=1), b)


@exercise.mistake("a and b exchanged")
def _(a, b):
    """a and b are exchanged: a multiplies the state, b is added."""
    return linear_scan(b, a)


@exercise.mistake("b multiplied too")
def _(a, b):
    """b was multiplied by its a: only the state before it is."""
    return linear_scan(a, a * b)


@exercise.mistake("a moving average")
def _(a, b):
    """b was multiplied by 1 - a, as in a moving average: it is added as it comes."""
    return linear_scan(a, (1 - a) * b)


@exercise.mistake("from the end")
def _(a, b):
    """The states run from the last token to the first: turn it round."""
    return linear_scan(a.flip(1), b.flip(1)).flip(1)


@exercise.mistake("a left out")
def _(a, b):
    """This is the sum of all b so far: a does not reach the result."""
    return b.cumsum(1)


@exercise.mistake("products from the start")
def _(a, b):
    """Each b was multiplied by all a's from the start on: b_s reaches h_t through the a's between
    them alone.
    """
    return a.cumprod(1) * b.cumsum(1)


# ------------------------------------------------------------------------------------------- along which axis


@exercise.mistake("over the texts")
def _(a, b):
    """The states run along the first axis, from text to text: tokens are axis 1."""
    return linear_scan(a.transpose(0, 1), b.transpose(0, 1)).transpose(0, 1)


@exercise.mistake("over the numbers of a token")
def _(a, b):
    """The states run along the last axis, within a token: tokens are axis 1."""
    return linear_scan(a.mT, b.mT).mT


exercise.changed(
    "the last state alone",
    "Only the last state came back: all T are asked for.",
    ("return b", "return b[:, -1]"),
)
