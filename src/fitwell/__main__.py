"""``python -m fitwell``."""

from fitwell.cli import main

if __name__ == "__main__":
    main()
