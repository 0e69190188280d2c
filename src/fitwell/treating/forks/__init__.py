"""What-if forks: copies of a training that go on with one thing changed."""
