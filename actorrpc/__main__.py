"""``python -m actorrpc``: the command line."""

from actorrpc.cli.commands import main

if __name__ == "__main__":
    main()
