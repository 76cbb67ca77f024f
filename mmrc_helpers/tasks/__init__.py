"""What is shown to a model: questions, the rows that methods eat, and strict parsers of what it says."""
