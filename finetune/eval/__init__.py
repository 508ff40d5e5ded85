"""What a checkpoint or a served model can do, in figures."""
