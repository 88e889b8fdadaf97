"""What stands around a submission: engines, the kernel's walls, the copy of the course that it may read."""
