"""The pool that fits: it leaves the process as it was."""

import subprocess
import sys
import warnings
from textwrap import dedent

import numpy as np
from sklearn.ensemble import ExtraTreesClassifier

from python_jobs.fitting import workers


def test_forests_fitted_at_once_leave_the_warning_filters_as_they_were():
    """scikit-learn's fits set and restore them, each as it found them; threads mix that up."""
    rng = np.random.default_rng(1)
    X, y = rng.random((200, 3)), rng.integers(0, 2, 200)
    before = list(warnings.filters)
    with workers() as pool:
        fits = [pool.submit(ExtraTreesClassifier(10).fit, X, y) for _ in range(16)]
        assert all(len(fit.result().estimators_) == 10 for fit in fits)
        pool.submit(warnings.resetwarnings).result()  # what the worst mixture leaves
    assert warnings.filters == before


def test_what_workers_warn_of_is_shown_once_and_as_the_process_would_show_it():
    script = """
        import warnings
        from python_jobs.fitting import workers

        def fit(n):
            warnings.resetwarnings()
            warnings.warn("old way", DeprecationWarning)
            warnings.warn("not converged", UserWarning)

        with workers() as pool:
            list(pool.map(fit, range(3)))
        print(warnings.filters != [])
    """
    done = subprocess.run(
        [sys.executable, "-c", dedent(script)], capture_output=True, text=True, check=True
    )
    assert done.stdout == "True\n" and "old way" not in done.stderr
    assert done.stderr.count("UserWarning: not converged") == 1
