"""fitwell inside other libraries: one foreign library a file."""
