"""Raw data: what a domain declares, its files, and loading them."""
