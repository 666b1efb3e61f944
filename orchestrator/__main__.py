"""``python -m orchestrator``, and the ``castlewalls`` command."""

from orchestrator.cli.commands import main

if __name__ == "__main__":
    main()
