"""What is started in a process of its own, with one folder as its argument; never imported."""

import gc

# Nothing is garbage while modules load; looking for it takes a fifth of that time. run_main goes on with it.
gc.disable()
