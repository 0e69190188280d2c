"""The scripts of this folder are programs: tests run them, pytest must not import them for doctests."""

collect_ignore_glob = ["*.py"]
