"""Grading of submissions in a sandbox, on nbgrader's formats. The commands: `python -m course_lib.grading`.

The parent has the checks, their references, the hidden seeds and the grade book. The child has a submission's
code and nothing else: it is forked from a process that never held a secret, locked in, and asked for what the
learner's functions give. Only numbers and texts come back. A teacher's own test meets what students make of
its values in a sandbox of its own.
"""
