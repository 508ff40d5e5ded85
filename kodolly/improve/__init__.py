"""`kodolly improve`: a turn from people's feedback to a checkpoint that answers, or does not."""
