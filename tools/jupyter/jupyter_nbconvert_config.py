"""What `jupyter nbconvert` makes of a notebook: see `course_lib.export`."""

from course_lib.export import TEMPLATES

c = get_config()  # noqa: F821 (Jupyter defines this name before it reads the file)

# Printed in pieces, it is one text: else each word of a streamed text is a line of its own.
c.Exporter.preprocessors = ["nbconvert.preprocessors.CoalesceStreamsPreprocessor"]
c.HTMLExporter.template_name = "course"
c.HTMLExporter.extra_template_basedirs = [str(TEMPLATES)]
# Slides are HTML, too, and would take over the template.
c.SlidesExporter.template_name = "reveal"
