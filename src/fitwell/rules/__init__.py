"""Rules, one a file; the file's name is that of its finding, with underscores."""
