"""The migrations of the state store, run by `storage.state` when a file's schema is behind."""
