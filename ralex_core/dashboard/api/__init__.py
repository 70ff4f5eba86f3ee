"""The JSON API: one file per group of routes, each a function from the site to a router."""
