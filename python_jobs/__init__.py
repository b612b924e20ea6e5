"""The jobs behind the `churnhouse` command: each reads, decides, writes."""
