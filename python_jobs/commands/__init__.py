"""The subcommands of `churnhouse`, by what they are for. Each is registered when its module is."""
