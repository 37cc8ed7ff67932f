"""Files: paths of the course, atomic writes, checksums, pinned downloads, settings in YAML."""
