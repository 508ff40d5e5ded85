"""Who asks: keys, their limits, and the ledger of what they used."""
