"""`python -m openscope_experimental_launcher` is the `openscope` command."""

from openscope_experimental_launcher.cli import main

if __name__ == "__main__":
    main()
