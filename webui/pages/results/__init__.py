"""결과 / Results: who won, how sure that is, and the answers behind it."""
