"""The model: loading, encoding conversations and pictures, scores of given answers, written answers."""
