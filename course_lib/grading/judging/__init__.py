"""Who judges: the grader, and the processes in which a submission and a teacher's test run."""
