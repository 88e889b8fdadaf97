"""The experiments of notebook 06, a file for each question; claims and notebooks name them as here."""

from course_lib.blocks import FeedForward  # for a cell of the notebook
from course_lib.concepts.c06_residuals.experiments.are_additions_the_only_way import (
    KINDS,
    XAVIER,
    AtStart,
    DeepNeedsResiduals,
    Itself,
    at_start,
    deep_needs_residuals,
    turning,
)
from course_lib.concepts.c06_residuals.experiments.are_more_layers_better import (
    STORED_DEPTHS,
    MoreLayers,
    more_layers,
    stored_more_layers,
)
from course_lib.concepts.c06_residuals.experiments.does_a_layer_learn_the_difference import (
    LearnTheDifference,
    learn_the_difference,
)
from course_lib.concepts.c06_residuals.experiments.does_a_stack_need_norms import (
    NORMS,
    NormNeeded,
    norm_needed,
)
from course_lib.concepts.c06_residuals.experiments.how_wide_is_the_mlp import (
    LEAST_OF_GELU,
    MlpShape,
    bent,
    mlp_shape,
)
from course_lib.concepts.c06_residuals.experiments.is_yours_a_real_layer import (
    against_torch,
    follow_a_curve,
    only_additions,
    post_norm,
    running,
    sixteen,
)
from course_lib.concepts.c06_residuals.experiments.real_models import (
    layers_out,
    stream_after,
    text_losses,
    two_texts,
    without_each,
    writes,
)
from course_lib.concepts.c06_residuals.experiments.small_models import (
    GUESSING,
    Reverser,
    adding,
    blocks_of,
    fresh,
    from_xavier,
    learn,
    new_rows,
    reversing_loss,
)
from course_lib.concepts.c06_residuals.experiments.what_does_layer_11_add import (
    FirstToken,
    first_token,
    large_weights_off,
    zeroed,
)
from course_lib.concepts.c06_residuals.experiments.which_layers_does_a_capital_need import (
    CAPITALS,
    Capitals,
    Lens,
    capitals,
    lens,
)
from course_lib.concepts.c06_residuals.experiments.which_range_does_a_norm_give import (
    FromLeast,
    NormRange,
    norm_range,
)

__all__ = [
    "CAPITALS",
    "GUESSING",
    "KINDS",
    "LEAST_OF_GELU",
    "NORMS",
    "STORED_DEPTHS",
    "XAVIER",
    "AtStart",
    "Capitals",
    "DeepNeedsResiduals",
    "FeedForward",
    "FirstToken",
    "FromLeast",
    "Itself",
    "LearnTheDifference",
    "Lens",
    "MlpShape",
    "MoreLayers",
    "NormNeeded",
    "NormRange",
    "Reverser",
    "adding",
    "against_torch",
    "at_start",
    "bent",
    "blocks_of",
    "capitals",
    "deep_needs_residuals",
    "first_token",
    "follow_a_curve",
    "fresh",
    "from_xavier",
    "large_weights_off",
    "layers_out",
    "learn",
    "learn_the_difference",
    "lens",
    "mlp_shape",
    "more_layers",
    "new_rows",
    "norm_needed",
    "norm_range",
    "only_additions",
    "post_norm",
    "reversing_loss",
    "running",
    "sixteen",
    "stored_more_layers",
    "stream_after",
    "text_losses",
    "turning",
    "two_texts",
    "without_each",
    "writes",
    "zeroed",
]
