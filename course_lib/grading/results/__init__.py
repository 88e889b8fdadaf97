"""What goes out: an outcome, the grade book, the notebook that people read."""
