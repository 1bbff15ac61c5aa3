"""``python -m actbench``: the command line."""

from __future__ import annotations

from actbench.cli import main

if __name__ == "__main__":
    main()
