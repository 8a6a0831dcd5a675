"""`python -m fovea` is the `fovea` command."""

from service.cli import main

main()
