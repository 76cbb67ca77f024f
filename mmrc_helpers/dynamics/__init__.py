"""What goes on inside while a model trains."""
