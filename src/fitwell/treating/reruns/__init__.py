"""Programs that are run again: with another seed, another text, or something changed; their files stay as they were."""
