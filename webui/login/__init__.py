"""Who uses the pages: nobody in particular, whoever has a key of the gateway, or whom a proxy names."""
