"""What a layer keeps

What does one layer of attention cost, written out with its tables, for one text of T tokens? Every query
meets every key, itself too. Return three whole numbers. First the bytes of the attention weights: a T x T
table for each query head. Then the bytes of the key/value cache, which a model that writes keeps: the keys
and the values of all tokens, for each key head, K = d_model / n_heads numbers wide. Last the
multiplications that all scores and all mixes take, projections not counted: for each query head and each
pair of tokens, K for the score and K for the mix.

Hint: Take T = 3, d_model = 8, two heads: a head is 4 numbers wide, and has a table of 9 weights.

Hint: Keys and values are two tables of T rows and K columns for each key head. Shared key heads make the
cache smaller.

Hint: Scores: H T T K multiplications, mixes as many. And H K is d_model.
"""

from course_lib.checks.exercise import Exercise
from course_lib.checks.inputs import between, primes
from course_lib.checks.kinds import Case

exercise = Exercise(
    level=2,
    minutes=10,
    section="The price, and the first way: store nothing",
    results=("bytes of the weights", "bytes of the cache", "multiplications"),
)


@exercise.solution
def attention_bytes(n_tokens, d_model, n_heads, n_kv_heads, bytes_per_number):
    """What one layer of attention keeps and computes for one text.

    Args:
        n_tokens: T.
        d_model: numbers in a token; n_heads divides it.
        n_heads: query heads.
        n_kv_heads: heads of keys and values; divides n_heads.
        bytes_per_number: 4 for float32, 2 for float16.
    Returns: three whole numbers: bytes of the weights, bytes of the key/value cache, multiplications.
    """
    ### BEGIN SOLUTION
    d_head = d_model // n_heads
    weights = n_heads * n_tokens**2
    cache = 2 * n_kv_heads * n_tokens * d_head
    multiplications = 2 * n_heads * n_tokens**2 * d_head
    return weights * bytes_per_number, cache * bytes_per_number, multiplications
    ### END SOLUTION


@exercise.cases
def _(rng):
    def layer(n_tokens, d_head, groups, share, n_bytes):
        n_heads = groups * share
        return {
            "n_tokens": n_tokens,
            "d_model": n_heads * d_head,
            "n_heads": n_heads,
            "n_kv_heads": groups,
            "bytes_per_number": n_bytes,
        }

    def some(n):
        return primes(rng, 3, 5, 7, 11, 13, 17)[:n]

    return [
        Case("three tokens, two heads", layer(3, between(rng, 2, 9), 2, 1, 4)),
        Case("other sizes", layer(*some(4), 2), catches="always four bytes"),
        Case(
            "a layer of SmolLM2, some 2,000 tokens",
            layer(between(rng, 1500, 2500), 64, 3, 3, 4),
            catches="numbers of 32 bits",
        ),
    ]


# ------------------------------------------------------------------------------------------------ the weights

exercise.changed(
    "the weights of one head",
    "These are the weights of one head: each query head has a table of its own.",
    ("weights = n_heads * n_tokens**2", "weights = n_tokens**2"),
)
exercise.changed(
    "tables for key heads only",
    "There is a table for each key head: query heads that share a key head have a table each, too.",
    ("weights = n_heads", "weights = n_kv_heads"),
)
exercise.changed(
    "a row instead of a table",
    "The weights grow with T: every query has one for every key, so it is the square.",
    ("weights = n_heads * n_tokens**2", "weights = n_heads * n_tokens"),
)
exercise.changed(
    "each pair once",
    "Each pair of tokens was counted once in the weights: a token asks and is asked, and these are two "
    "weights.",
    ("weights = n_heads * n_tokens**2", "weights = n_heads * n_tokens * (n_tokens + 1) // 2"),
)
exercise.changed(
    "itself left out",
    "The weights that tokens give to themselves were left out: every query meets its own key, too.",
    ("weights = n_heads * n_tokens**2", "weights = n_heads * n_tokens * (n_tokens - 1)"),
)
exercise.changed(
    "scores and weights both kept",
    "The weights were counted twice: one table for each head.",
    ("weights = n_heads", "weights = 2 * n_heads"),
)

# -------------------------------------------------------------------------------------------------- the cache

exercise.changed(
    "keys without values",
    "The cache holds only one of keys and values: it holds both.",
    ("cache = 2 * n_kv_heads", "cache = n_kv_heads"),
)
exercise.changed(
    "a cache for every query head",
    "The cache is d_model numbers wide, as if each query head had keys of its own: it holds n_kv_heads heads "
    "of d_model / n_heads numbers.",
    ("cache = 2 * n_kv_heads", "cache = 2 * n_heads"),
)
exercise.changed(
    "key heads of the full width",
    "Each key head in the cache is d_model wide: it is d_model / n_heads.",
    ("n_tokens * d_head", "n_tokens * d_model"),
)
exercise.changed(
    "a cache that grows with the square",
    "The cache grows with the square of T: each token has one key and one value in each head.",
    ("n_tokens * d_head", "n_tokens**2 * d_head"),
)
exercise.changed(
    "numbers instead of bytes",
    "Weights and cache are counted in numbers: multiply by the bytes of each.",
    ("weights * bytes_per_number, cache * bytes_per_number", "weights, cache"),
)
exercise.changed(
    "always four bytes",
    "A number always takes 4 bytes here: use bytes_per_number.",
    ("weights * bytes_per_number, cache * bytes_per_number", "weights * 4, cache * 4"),
)
exercise.changed(
    "bits instead of bytes",
    "Weights and cache are counted in bits: bytes are asked for.",
    ("weights * bytes_per_number, cache *", "8 * weights * bytes_per_number, 8 * cache *"),
)

# ---------------------------------------------------------------------------------------- the multiplications

exercise.changed(
    "scores without mixes",
    "The multiplications are those of the scores alone: mixing the values takes as many again.",
    ("multiplications = 2 * n_heads", "multiplications = n_heads"),
)
exercise.changed(
    "heads of the full width",
    "Each head was counted with d_model multiplications for a score: it is d_model / n_heads wide.",
    ("n_tokens**2 * d_head", "n_tokens**2 * d_model"),
)
exercise.changed(
    "multiplications of one head",
    "These are the multiplications of one head: there are n_heads of them.",
    ("multiplications = 2 * n_heads", "multiplications = 2"),
)
exercise.changed(
    "multiplications of the key heads",
    "The multiplications are those of as many heads as there are key heads: every query head computes its "
    "own.",
    ("multiplications = 2 * n_heads", "multiplications = 2 * n_kv_heads"),
)
exercise.changed(
    "bytes of the multiplications",
    "The multiplications were multiplied by the bytes of a number: they are counted, not stored.",
    ("number, multiplications", "number, multiplications * bytes_per_number"),
)
exercise.changed(
    "width by the key heads",
    "A head was taken to be d_model / n_kv_heads wide: it is d_model / n_heads, a key head too.",
    ("d_model // n_heads", "d_model // n_kv_heads"),
)
exercise.changed(
    "additions too",
    "The multiplications came out twice too many: are additions among them?",
    ("multiplications = 2", "multiplications = 4"),
)

# -------------------------------------------------------------------------------------------------- the order

exercise.changed(
    "the other way round",
    "The three numbers come in the opposite order: weights, cache, multiplications.",
    (
        "weights * bytes_per_number, cache * bytes_per_number, multiplications",
        "multiplications, cache * bytes_per_number, weights * bytes_per_number",
    ),
)
exercise.changed(
    "cache before weights",
    "The cache comes first: the weights do.",
    (
        "weights * bytes_per_number, cache * bytes_per_number",
        "cache * bytes_per_number, weights * bytes_per_number",
    ),
)
