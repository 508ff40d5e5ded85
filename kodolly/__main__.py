"""`python -m kodolly`, which `kodolly up` uses for its parts: it works without the script on PATH."""

from kodolly.cli import main

main()
