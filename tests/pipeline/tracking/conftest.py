from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from mlflow import MlflowClient

from pipeline.store.filesystem import SCHEMA
from pipeline.store.store import Store
from pipeline.tracking import client as tracking
from tests.helpers.stores.mirrored_cells import SWEEP, add_cell


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store = Store(str(tmp_path / "results"))
    store.write_plan({"schema": SCHEMA, "name": SWEEP, "cells": ["aa", "bb"]})
    add_cell(store, "aa")
    add_cell(store, "bb")
    return store


@pytest.fixture(scope="module")
def fresh_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated database without experiments: the migration takes seconds, a copy nothing."""
    file = tmp_path_factory.mktemp("database") / "mlflow.db"
    MlflowClient(f"sqlite:///{file}").search_experiments()
    return file


@pytest.fixture
def uri(tmp_path: Path, fresh_database: Path, store: Store) -> str:
    uri = f"sqlite:///{shutil.copy(fresh_database, tmp_path / 'mlflow.db')}"
    tracking.prepare(uri, SWEEP, "a small sweep", store)
    return uri
