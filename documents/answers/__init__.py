"""Answers from passages: the prompt, the markers in the answer, and what each sentence rests on."""
