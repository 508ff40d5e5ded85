"""What people judged: figures, the answers behind them, files of both. All of it comes from the gateway."""
