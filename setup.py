"""Put the shipped taxonomies, templates, recipes and experiments into built wheels, as `datagen/_shipped/`.

Everything else about the build is in pyproject.toml. In a checkout the folders stay at the top level, where people
read and change them.
"""

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

SHIPPED = ("taxonomies", "templates", "recipes", "experiments")


class BuildWithShipped(build_py):
    """The usual step, then the copy; an editable install needs none."""

    def run(self) -> None:
        """Build, then copy the shipped folders beside the modules."""
        super().run()
        if self.editable_mode:
            return
        for name in SHIPPED:
            target = Path(self.build_lib) / "datagen" / "_shipped" / name
            shutil.rmtree(target, ignore_errors=True)
            shutil.copytree(Path(__file__).parent / name, target)


setup(cmdclass={"build_py": BuildWithShipped})
