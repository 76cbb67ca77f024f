"""What is asked: study files, their runs, the spine of stages, what they need and what is left over."""
