"""What a person sees of a run: lines on a console, pictures, and a page. Reads runs; trains nothing."""
