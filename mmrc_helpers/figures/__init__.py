"""How it looks: tables become figures and sheets."""
