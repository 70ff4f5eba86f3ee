"""Where the time of traces goes and why: pure functions on spans, one file per cause that can be found."""
