"""What is said of mistakes that learners make in more than one task, by the name of the mistake.

The wrong answers stand in the tasks; one without words of its own gets these.
"""

SAYS = {
    "no scaling": (
        "This is what you get without dividing the scores by the square root of the width of a key."
    ),
    "divided by K": "The scores are divided by the width of a key itself, not by its square root.",
    "divided by half of K": (
        "`K ** 1/2` is K, divided by 2: a root is `K ** 0.5`, or math.sqrt(K), K being the width of a key."
    ),
    "divided by twice K": (
        "`/ K ** 1/2` divides by K, then by 2: a root is `K ** 0.5`, or math.sqrt(K), K being the width "
        "of a key."
    ),
    "multiplied instead of divided": (
        "The scores are multiplied by the square root of the width of a key: divide."
    ),
    "scaled by the width of all heads": (
        "The scores are divided by the square root of the width of all heads together: it is the width of "
        "one, K, that counts."
    ),
    "scaled by the number of heads": (
        "The scores are divided by the square root of the number of heads: it is the width of a key that "
        "counts."
    ),
    "softmax over the heads": (
        "This is what you get when the softmax runs over the heads: each row of each head should sum to 1."
    ),
    "no softmax": (
        "The scores themselves mix the values: a softmax makes weights of them first, which sum to 1."
    ),
    "mask added": (
        "The mask was added to the scores, where True counts as 1: a score becomes minus infinity where the "
        "mask is False, and stays as it is elsewhere."
    ),
    "scaled by the number of keys": (
        "The scores are divided by the square root of the number of keys: it is the width of a key that "
        "counts."
    ),
    "scaled by the number of queries": (
        "The scores are divided by the square root of the number of queries: it is the width of a query "
        "that counts."
    ),
    "uniform weights": "Every key gets the same weight: the scores do not reach the mix.",
    "keys ask the queries": (
        "The keys ask and the queries answer: it is the other way round, one row of weights per query."
    ),
    "mixes the keys": ("The keys were mixed: the weights come from the keys, what is mixed are the values."),
    "softmax over the queries": (
        "This is what you get when the softmax runs over the queries: each column sums to 1, each row should."
    ),
    "keys not turned": (
        "This is q @ k, which fails unless the sizes happen to fit: a query meets the rows of k, so exchange "
        "the last two axes of k first."
    ),
    "overflow": (
        "Right for small scores, but exp(1000) is more than a float holds, and exp(-1000) is 0. Subtract "
        "each row's largest score first."
    ),
    "eps in the sum": (
        "A little was added to every sum of exponentials, so the weights sum to a little less than 1. Only a "
        "sum of 0, where nothing may be seen, needs another number to divide by, such as 1."
    ),
    "one maximum for all rows": (
        "You subtract the largest score of all rows; in a row far below it, every exp becomes 0. Take each "
        "row's own."
    ),
    "softmax over everything": "All weights together sum to 1: each row should, on its own.",
    "mask upside down": "The mask is read the other way round: True means that the query may attend.",
    "mask transposed": "The mask is transposed: its rows are queries, its columns keys, as they come.",
    "mask ignored": "The mask is not used.",
    "masked after the softmax": (
        "The softmax saw all keys, then some weights were set to 0: the rest no longer sums to 1. Mask "
        "the scores."
    ),
    "NaN where nothing may be seen": "A query that may see nothing gets 0/0 = NaN: give it zeros.",
    "a uniform row where nothing may be seen": (
        "A large negative number instead of minus infinity: a query that may see nothing then looks at "
        "all keys."
    ),
    "forbidden scores set to zero": (
        "A score of 0 is not a weight of 0: exp(0) is 1. Minus infinity is the score that gets no weight."
    ),
    "W on the wrong side": (
        "This is what you get with the weights the other way round: tokens are rows here, so it is x W."
    ),
    "pairs of halves": (
        "Number i was turned together with i + K/2, as in Llama's files: here the pairs are neighbours, "
        "(0, 1), (2, 3), ..."
    ),
    "turned pairs written as halves": (
        "The pairs are turned rightly, but all first numbers stand in front, and then all second ones: "
        "the two numbers of a pair stay neighbours."
    ),
    "neighbours with the angles of halves": (
        "The pairs are neighbours, but their angles are written as for halves, all of them once and then "
        "once more: both numbers of a pair have the same angle, so write each one twice, as "
        "`repeat_interleave(2, -1)` does."
    ),
    "halves with the angles of neighbours": (
        "The angles are those of neighbours, but each number is mixed with the one K/2 further: its "
        "partner is its neighbour."
    ),
    "turned the other way": (
        "The pairs are turned the other way, by minus the angle: look at the signs of the two sines."
    ),
    "both sines with a plus": (
        "Both sines have a plus: a turn has one plus and one minus, or lengths change."
    ),
    "mirrored": (
        "The pairs are mirrored, not turned: at place 0, where the angle is 0, a token must stay as it is."
    ),
    "the first number overwritten": (
        "The second number of a pair was made from the first after turning: make both from the pair as it "
        "came, and keep them apart until then."
    ),
    "the cosine alone": (
        "Every number was only multiplied by the cosine: a turned pair also mixes, by the sine."
    ),
    "half the exponent": (
        "Pair i is turned by t / base^(i/K): the exponent is 2i/K, so that the slowest pair comes close "
        "to 1 / base."
    ),
    "twice the exponent": (
        "Pair i is turned by t / base^(4i/K): K is the number of numbers in a head, not of pairs."
    ),
    "an angle for each number": (
        "Each number has an angle of its own, t / base^(j/K): the two numbers of a pair are turned by one "
        "angle."
    ),
    "one angle for all pairs": ("All pairs are turned by t: pair i turns more slowly, by t / base^(2i/K)."),
    "the slow pairs first": "The first pair turns slowest: pair 0 turns fastest, by t.",
    "faster instead of slower": (
        "Pair i is turned by t times base^(2i/K): divide, so that later pairs turn more slowly."
    ),
    "start ignored": "The first token always stands at place 0: it stands at `start`.",
    "counted from 1": "The first token stands at start + 1: it stands at `start`.",
    "one place too early": "The first token stands at start - 1: it stands at `start`.",
    "all tokens in one place": (
        "All tokens are turned as the first one is, by `start`: token i stands at start + i."
    ),
    "places along the heads": (
        "Places were counted along the axis of the heads: x is (B, H, T, K), and it is T that counts tokens."
    ),
    "halves written as neighbours": (
        "Number i was turned together with i + K/2, and then the two were put side by side: the pairs are "
        "neighbours as x comes, (0, 1), (2, 3), ..."
    ),
    "turned pairs reshaped": (
        "First and second numbers were stacked in front, and `reshape` or `view` gave them the shape of x "
        "with the wrong order: stack them behind, `torch.stack([first, second], dim=-1)`, then "
        "`.flatten(-2)`."
    ),
    "turned pairs left apart": (
        "The two numbers of a pair still have an axis of their own: `.flatten(-2)` puts them side by side."
    ),
    "pairs cut by a bare reshape": (
        "`reshape` or `view` cut x into two in front of all axes, so numbers of different tokens were "
        "paired: the first numbers are `x[..., 0::2]`, the second ones `x[..., 1::2]`."
    ),
    "cosine and sine exchanged": (
        "Cosine and sine have changed places: at place 0, where the angle is 0, a token must stay as it is."
    ),
    "pairs counted from 1": (
        "The pairs were counted from 1: the first has i = 0, and is turned by its place itself."
    ),
    "brackets of the exponent forgotten": (
        "A power comes before a product and a quotient: without brackets only a part of 2i/K is the "
        "exponent: write `base ** (2 * i / K)`."
    ),
    "divided by the number of tokens": (
        "The exponent was divided by T, the number of tokens: it is 2i/K, K being the numbers in a head."
    ),
    "turned by degrees": ("The angle was read as degrees: sine and cosine take it as it is, in radians."),
    "places up to T": (
        "The places end at T, as if the first token stood at place 0: T places from `start` on end before "
        "start + T."
    ),
    "tokens on axis 1": (
        "The angles were laid along axis 1, as in Llama's own code, where tokens come before heads: here x "
        "is (B, H, T, K), and it is T that counts tokens."
    ),
    "an axis for the heads behind the places": (
        "The angles got an axis behind T, which meets the heads of x, (B, H, T, K): (T, K/2) fits as it is, "
        "as the last two axes."
    ),
    "turned twice": "The angles are twice as large as they should be: is x turned twice?",
    "always 10,000": "The base is always 10,000: use the one that comes.",
    "normalised over the tokens": (
        "The mean runs over the tokens, so that each token changes with the others: each vector is "
        "normalised alone, over its own numbers, the last axis."
    ),
    "normalised over the first axis": (
        "The mean runs over the first axis of x: each vector is normalised alone, over its own numbers, "
        "the last axis."
    ),
    "normalised over axis 1": (
        "The mean runs over axis 1, which is the last one only where x has two: -1 is the last axis, "
        "whatever comes before."
    ),
    "normalised over tokens and sequences": (
        "The mean of each number runs over all tokens of all sequences, as in batch normalisation: each "
        "vector is normalised alone, over its own numbers, the last axis."
    ),
    "each sequence normalised as a whole": (
        "The mean runs over all numbers of a sequence: each vector is normalised alone, over its own "
        "numbers, the last axis."
    ),
    "all numbers normalised together": (
        "There is one mean for all of x: each vector is normalised alone, over its own numbers, so the "
        "mean runs over the last axis, and that axis stays (keepdim=True)."
    ),
    "eps outside the root": (
        "eps was added to the root: it belongs inside, which shows where numbers are small."
    ),
    "no eps": (
        "eps does not reach the result. Without it a vector whose numbers are all 0, or all the same, may "
        "give 0/0, and small numbers come out too large."
    ),
    "always the same eps": "eps is always 1e-5: use the one that comes.",
    "eps as a floor": "eps was taken for the least that the root may be: it is added, inside the root.",
    "the mean of squares at least eps": (
        "eps was taken for the least that the mean of the squares may be, with `clamp` or `maximum`: it is "
        "added to it."
    ),
    "eps added to the result": (
        "eps was added behind the division, to the result: it is added below the root, before the root is "
        "taken."
    ),
    "always an eps of 1e-6": "eps is always 1e-6: use the one that comes.",
    "divided by len(x)": (
        "The sum of squares was divided by len(x), the size of the first axis: a vector has D numbers, "
        "x.shape[-1]."
    ),
    "eps squared": (
        "eps was squared before it was added: it is added to the mean of the squares as it comes."
    ),
    "no root": "The root is missing: this divides by the mean of the squares, plus eps.",
    "sum of squares": (
        "The squares were summed up, so each vector gets length 1: divide the sum by D, and the root of "
        "this *mean* becomes 1, whatever D is."
    ),
    "D outside the root": ("The root of the sum was divided by D: divide the sum by D, then take the root."),
    "multiplied by the spread": "The numbers are multiplied by the root: divide by it.",
    "weighted before": (
        "The weight was multiplied in before normalising: normalise x as it comes, then multiply."
    ),
    "weight left out": (
        "The weight does not reach the result: after normalising, each of the D numbers is multiplied by "
        "its own."
    ),
    "one more than the weight": (
        "The numbers are multiplied by 1 + weight. Some models store their weights so (Gemma), here the "
        "weight is the factor itself."
    ),
    "the longest pair first": (
        "The pair that makes the longest token was merged first: it is the one that was learned first."
    ),
    "the leftmost pair first": (
        "The leftmost pair was merged first: it is the one of the lowest rank, wherever it stands."
    ),
    "the rightmost pair first": (
        "The rightmost pair was merged first: it is the one of the lowest rank, wherever it stands."
    ),
    "the commonest pair first": (
        "The pair that is commonest in this text was merged first: counting is for learning. Take the "
        "lowest rank."
    ),
    "the pair learned last": (
        "The pair that was learned last was merged first: take the lowest rank, not the highest."
    ),
    "the longest token from the left": (
        "From the left the longest token of the vocabulary was taken, as WordPiece does. Here pairs are "
        "merged, in the order in which they were learned."
    ),
    "one pass from the left": (
        "One pass from the left joined what it could: look at all pairs, and merge the lowest rank first."
    ),
    "characters instead of bytes": (
        "The text was cut into characters: a letter such as ü is two bytes, and begins as two tokens."
    ),
    "one merge only": "Only one pair was merged: look again, until no learned pair is left.",
    "from right to left": (
        "In a run of the same letter the pairs were merged from the right: begin at the left."
    ),
}
