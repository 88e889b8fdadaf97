"""Grades that can be trusted: a submission's code runs in a sandbox, what decides stays outside.

`python -m course_lib.grading` is the command line. It needs the extra [teach]. Nothing else in course_lib
imports this package.
"""
