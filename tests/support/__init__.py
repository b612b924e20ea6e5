"""What tests share: worlds, servers and processes."""
