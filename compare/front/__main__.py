"""Run the command line as `python -m gradparity`."""

from gradparity.compare.cli import main

if __name__ == "__main__":
    main()
