"""Who won people's votes: one reckoning for the gateway's leaderboard and for `kodolly eval votes`.

Plain Python: the gateway must not need NumPy, and some ten thousand votes take a second.
"""
