"""fit: parallel fits leave the process unchanged."""

import subprocess
import sys
import warnings
from textwrap import dedent

import numpy as np
import pytest
from sklearn.ensemble import ExtraTreesClassifier

from python_jobs.training.fit import workers


def test_parallel_fits_leave_the_warning_filters_unchanged():
    """Each scikit-learn fit sets and restores the filters; parallel threads mix them up."""
    rng = np.random.default_rng(1)
    X, y = rng.random((200, 3)), rng.integers(0, 2, 200)
    before = list(warnings.filters)
    with workers() as pool:
        fits = [pool.submit(ExtraTreesClassifier(10).fit, X, y) for _ in range(16)]
        assert all(len(fit.result().estimators_) == 10 for fit in fits)
        pool.submit(warnings.resetwarnings).result()  # the worst mixture leaves no filters
    assert warnings.filters == before


def test_filters_emptied_by_another_fit_cause_no_warning():
    X, y = np.arange(40.0).reshape(20, 2), np.arange(20) % 2

    def fit():
        warnings.resetwarnings()  # the state during a scikit-learn fit
        return ExtraTreesClassifier(3).fit(X, y)

    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        with workers() as pool:
            assert len(pool.submit(fit).result().estimators_) == 3
    assert [str(w.message) for w in said] == []


FIT = """
    import warnings

    def fit(n):
        warnings.resetwarnings()
        warnings.warn("old way", DeprecationWarning)
        warnings.warn("known", UserWarning)
        warnings.warn("not converged", UserWarning)
"""
FITS = """
    import sys, warnings
    from library import fit
    from python_jobs.training.fit import workers

    warnings.filterwarnings("ignore", "known", module="library")
    with workers() as pool:
        list(pool.map(fit, range(3)))
        sys.exit(int(sys.argv[1]))
"""


@pytest.mark.parametrize("code", [0, 1])
def test_warning_from_workers_is_shown_once_under_the_usual_filters(tmp_path, code):
    """The process's own filters decide, also if a fit changed them or the caller fails."""
    (tmp_path / "library.py").write_text(dedent(FIT))
    (tmp_path / "fits.py").write_text(dedent(FITS))
    done = subprocess.run(
        [sys.executable, tmp_path / "fits.py", str(code)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == code, done.stderr
    assert "old way" not in done.stderr
    assert "known" not in done.stderr
    assert done.stderr.count("UserWarning: not converged") == 1
