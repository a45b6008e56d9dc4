"""Pages that people look at: one self-contained HTML file each, every number from a file with a schema."""
