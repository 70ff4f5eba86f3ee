"""What a budget is: its scope, its periods, and the guard that holds calls to it. Arithmetic only, no I/O."""
