"""What `jupyter nbconvert` makes of a notebook: see `course_lib.export`."""

from pathlib import Path

import course_lib

c = get_config()  # noqa: F821 (Jupyter defines this name before it reads the file)

# Printed in pieces, it is one text: else each word of a streamed text is a line of its own.
c.Exporter.preprocessors = ["nbconvert.preprocessors.CoalesceStreamsPreprocessor"]
# Beside JupyterLab's template, whose place it takes; who names another one gets that.
c.HTMLExporter.extra_template_basedirs = [str(Path(course_lib.__file__).parent / "export" / "templates")]
