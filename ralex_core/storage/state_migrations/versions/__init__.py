"""One file per step of the state schema, in order; `storage.state.REVISIONS` lists them."""
