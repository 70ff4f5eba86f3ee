"""The words everything else is written in: operations, windows, money. No I/O."""
