"""The server: pages, JSON API, live updates, and the doors that are reached by HTTP."""
