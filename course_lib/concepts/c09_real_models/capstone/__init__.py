"""The capstone: a real chat model from parts of the learner's own.

mine = take_along()                        the parts from the learner's notebooks, or from a file
my_model = assemble(mine, rms_norm=rms_norm)
"""

from course_lib.concepts.c09_real_models.capstone.assembly import assemble
from course_lib.concepts.c09_real_models.capstone.taking_along import take_along

__all__ = ["assemble", "take_along"]
