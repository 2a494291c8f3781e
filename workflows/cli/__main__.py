"""``python -m celeriac.workflows.cli``: the command, where no script is on the path."""

from celeriac.workflows.cli.main import main

if __name__ == "__main__":
    main()
