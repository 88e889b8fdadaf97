"""The capstone: a real chat model from parts of the learner's own.

mine = take_along()                        the parts from the learner's notebooks, or from a file
my_model = assemble(mine, rms_norm=rms_norm)
my_model.save("my_chat.py")                a program, which calls `read_smollm2`
"""

from course_lib.concepts.c09_real_models.capstone.assembly import assemble
from course_lib.concepts.c09_real_models.capstone.parts import read_smollm2
from course_lib.concepts.c09_real_models.capstone.taking_along import take_along

__all__ = ["assemble", "read_smollm2", "take_along"]
