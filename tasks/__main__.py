"""``python -m tasks RunNight --date 2024-03-04``: luigi with our tasks, from a checkout as well."""

import sys

from luigi.cmdline import luigi_run

import tasks

__all__ = ["main"]


def main() -> None:
    """Hand the command line to luigi."""
    luigi_run(["--module", tasks.__name__, *sys.argv[1:]])


if __name__ == "__main__":
    main()
