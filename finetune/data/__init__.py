"""From the formats of instruction data to clean Dolly rows."""
