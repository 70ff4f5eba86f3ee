"""What goes wrong with a request, as one sentence with a status and a code, and our own errors read as such."""

from __future__ import annotations

from ralex_core.errors import (
    BooksBusy,
    BudgetExceeded,
    ConfigError,
    IntakeFull,
    InvalidBudget,
    InvalidOperation,
    RalexError,
    StoreCorrupt,
    StoreError,
    StoreFull,
    StoreOutOfMemory,
    StoreReadOnly,
)


class RequestProblem(RalexError):
    """A request that cannot be answered as asked.

    Args:
        status: of the answer.
        code: snake_case, for programs.
        message: a sentence for people that says what to do.
        retry_after_s: when it makes sense to ask again.
    """

    def __init__(self, status: int, code: str, message: str, retry_after_s: int | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.retry_after_s = retry_after_s


def bad_parameter(name: str, value: str, advice: str) -> RequestProblem:
    """A query parameter that cannot be used; `advice` says what can."""
    return RequestProblem(422, "bad_parameter", f"The parameter {name!r} cannot be {value[:80]!r}: {advice}")


def not_found(what: str) -> RequestProblem:
    return RequestProblem(404, "not_found", what)


def as_problem(error: RalexError) -> RequestProblem:
    """One of our errors as an answer. What only the owner of the machine should read (paths) stays in the log."""
    match error:
        case RequestProblem():
            return error
        case IntakeFull():
            return RequestProblem(503, "queue_full", str(error), error.retry_after_s)
        case InvalidOperation():
            return RequestProblem(400, "invalid_operation", str(error))
        case InvalidBudget():
            return RequestProblem(422, "invalid_budget", str(error))
        case BudgetExceeded():
            return RequestProblem(402, "budget_exceeded", str(error))
        case BooksBusy():
            return RequestProblem(409, "books_busy", str(error))
        case ConfigError():
            return RequestProblem(400, "bad_setting", str(error))
        case StoreFull():
            return RequestProblem(
                503,
                "disk_full",
                "The disk of the monitor is full; nothing of this request was stored. Free some room.",
                30,
            )
        case StoreReadOnly():
            return RequestProblem(
                503,
                "store_read_only",
                "The monitor may not write its own files; nothing of this request was stored. "
                "Its owner finds which in its log, and has to make them writable.",
                30,
            )
        case StoreCorrupt():
            return RequestProblem(503, "store_damaged", "The store is damaged; the monitor's log says what to do.", 60)
        case StoreOutOfMemory():
            return RequestProblem(503, "out_of_memory", str(error), 30)
        case StoreError():
            return RequestProblem(503, "store_unavailable", "The store does not answer just now. Try again shortly.", 5)
        case _:
            return RequestProblem(500, "internal", "Something went wrong in the monitor; its log has the details.")


PROBLEM_TITLES = {
    400: "That request cannot be read",
    401: "Sign in first",
    402: "No budget left",
    403: "Not allowed",
    404: "Nothing here",
    405: "Not possible here",
    413: "Too large",
    415: "Wrong kind of content",
    422: "Something in the address is not right",
    429: "Too many tries",
    500: "Something went wrong",
    503: "Not available just now",
}
