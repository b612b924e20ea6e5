"""What a job says when it cannot go on."""

FAILED = 1
DRIFT = 2
BUSY = 75
INTERRUPTED = 130  # the exit code that shells use for Ctrl-C


class JobError(Exception):
    """An expected failure: what is wrong, where, and what to do next, in one line.

    The command line prints the line and exits with `exit_code`; nobody sees a traceback.
    """

    exit_code = FAILED

    def __init__(self, what: str, *, next_step: str) -> None:
        super().__init__(f"{what} Next: {next_step}")


class WarehouseBusy(JobError):
    """Another job holds the warehouse; trying again later is enough."""

    exit_code = BUSY
