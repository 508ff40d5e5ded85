"""Documents: upload, ask, open what an answer rests on."""
