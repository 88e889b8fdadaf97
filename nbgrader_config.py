"""nbgrader's settings: its source folder is `solutions`, its release folder is `exercises`.

nbgrader reads this file when it is started in the course folder, for example:

    nbgrader generate_assignment 03_qkv        (or `make exercises`, which leaves no grade book behind)
    nbgrader validate exercises/03_qkv/attention_by_hand.ipynb
"""

c = get_config()  # noqa: F821 (nbgrader defines this name before it reads the file)

c.CourseDirectory.course_id = "transformer-course"
c.CourseDirectory.source_directory = "solutions"
c.CourseDirectory.release_directory = "exercises"

# A stub says nothing but that it is not written yet: the check turns it into a sentence.
c.ClearSolutions.code_stub = {"python": "raise NotImplementedError"}

# In an answer in words, what is left of each part of ours.
c.ClearSolutions.text_stub = "*Write here.*"

# The last task loads a real model and lets it write: 30 seconds a cell are too few on a busy machine.
c.ExecutePreprocessor.timeout = 180

# What is graded here is not the progress of whoever grades.
c.ExecutePreprocessor.extra_arguments = [
    "--IPKernelApp.exec_lines=import os; os.environ['COURSE_PROGRESS'] = 'off'"
]

# A learner who deletes a test cell gets it back before grading.
c.OverwriteCells.add_missing_cells = True

# What learners write ends up in a teacher's browser.
c.HTMLExporter.sanitize_html = True

# `nbgrader autograde` and formgrader's button run what learners wrote in the sandbox, or not at all.
c.Autograde.pre_convert_hook = "course_lib.grading.steps.ready"
c.Autograde.sanitize_preprocessors = ["course_lib.grading.steps.Empty"]
c.Autograde.autograde_preprocessors = [
    "course_lib.grading.steps.Sandbox",
    "nbgrader.preprocessors.SaveAutoGrades",
    "nbgrader.preprocessors.AssignLatePenalties",
]
