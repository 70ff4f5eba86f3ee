"""Where operations and state are kept."""
