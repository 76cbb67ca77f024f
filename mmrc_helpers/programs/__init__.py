"""What is started in a process of its own, with one folder as its argument; never imported."""
