"""The commands that are called as scripts; see datasets/ and export/."""
