"""``python -m workflows.cli`` is ``celeriac``, where the script is not on the path."""

from celeriac.workflows.cli.main import main

if __name__ == "__main__":
    main()
