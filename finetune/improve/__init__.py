"""What a turn of the improvement loop learns and how its result is judged; `kodolly improve` runs it."""
