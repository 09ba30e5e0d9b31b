"""Whether this machine can play the database that a project names."""

from __future__ import annotations

from hikkoshi.model.project import Project
from hikkoshi.region.rds.mariadb.programs import find_programs


def refuse_database(project: Project) -> None:
    """Before anything is started. Raises CannotRun, with the package to install."""
    database = project.settings.database
    if database is not None and database.engine == "aurora-mysql":
        find_programs()
