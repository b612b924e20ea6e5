"""Build a wheel that carries the dbt project and the domains, as python_jobs/project."""

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

CARRIED = ("dbt_project.yml", "profiles.yml", "domains", "macros", "models", "seeds")
CARRIED += ("tests/gates", "tests/generic")


def carried_files() -> list[Path]:
    """Every file of the dbt project and the domains, relative to the checkout."""
    found = [path for name in CARRIED for path in (Path(name), *sorted(Path(name).rglob("*")))]
    return [path for path in found if path.is_file() and "__pycache__" not in path.parts]


class BuildWithProject(build_py):
    """Build the modules, and copy the project beside them.

    An editable install has no copy: it reads the checkout.
    """

    def run(self) -> None:
        """Build from nothing, so that a file deleted since the last build stays out."""
        if self.editable_mode:
            return super().run()
        shutil.rmtree(self.build_lib, ignore_errors=True)
        super().run()
        for path in carried_files():
            target = Path(self.build_lib, "python_jobs/project", path)
            self.mkpath(str(target.parent))
            self.copy_file(str(path), str(target))

    def get_source_files(self) -> list[str]:
        """What a source distribution needs so that a wheel can be built from it."""
        return [*super().get_source_files(), *map(str, carried_files())]


setup(cmdclass={"build_py": BuildWithProject})
