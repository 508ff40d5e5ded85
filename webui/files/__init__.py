"""Images and text files that go along with questions."""
