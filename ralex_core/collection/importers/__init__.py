"""Reading assistants' own logs: one file per source, a registry, a runner and a follower.

A new source is one file with a class that fulfils `importers.base.Importer` (most derive from
`importers.lines.LineImporter`) and one line in `importers.registry`. See docs/importers.md.
"""
