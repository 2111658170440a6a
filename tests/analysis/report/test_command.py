from __future__ import annotations

import hashlib
import json
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest

from analysis import answers
from analysis.load import write_study
from analysis.load.sources import Study, load
from analysis.render.page import Health, compose
from analysis.render.table_layout import sheet
from analysis.report.command import main
from analysis.tables import tables
from analysis.text.sentences import Number, Sentence
from pipeline.store.store import Store
from tests.helpers.stores.synthetic import write_store

SMALL: dict[str, Any] = {
    "architectures": ["vgg11(width=0.25)"],
    "normalizers": ["none", "batch"],
    "seeds": [0, 1],
    "steps": 20,
}


def report(store: Path, out: Path, *arguments: str) -> dict[str, bytes]:
    assert main([*arguments, "--storage", str(store), "--out", str(out)]) == 0
    return contents(out)


def contents(out: Path) -> dict[str, bytes]:
    return {
        path.relative_to(out).as_posix(): path.read_bytes()
        for path in sorted(out.rglob("*"))
        if path.is_file()
    }


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, dict[str, bytes]]:
    store, out = tmp_path_factory.mktemp("store"), tmp_path_factory.mktemp("out")
    write_store(store, **SMALL)
    return store, out, report(store, out, "--save", str(store / "saved.study"))


def test_everything_is_written(written: tuple[Path, Path, dict[str, bytes]]) -> None:
    files = set(written[2])
    assert {"report.html", "report.md", "results.json", "manifest.json"} <= files
    for kind in ("csv", "parquet", "md", "tex"):
        tables = {n for n in files if n.endswith(f".{kind}") and "tables/table" in n}
        assert len(tables) == 5
    assert "tables/codebook.csv" in files
    figures = {n.removesuffix(".svg") for n in files if n.endswith(".svg")}
    assert len(figures) == 20
    assert all({f"{name}.svg", f"{name}.pdf"} <= files for name in figures)


@pytest.mark.slow
def test_cells_in_another_order_and_a_study_file_give_the_same_bytes(
    written: tuple[Path, Path, dict[str, bytes]], tmp_path: Path
) -> None:
    write_store(tmp_path / "store", **SMALL, order=1)
    file, out = tmp_path / "again.study", tmp_path / "out"
    write_study(load(str(tmp_path / "store"), records=False), file)
    assert file.read_bytes() == (written[0] / "saved.study").read_bytes()
    assert main(["--from", str(file), "--out", str(out)]) == 0
    again = contents(out)
    command = json.loads(again.pop("manifest.json"))["command"]
    assert command == "python -m analysis.report --from again.study --seed 0"
    assert again == {n: c for n, c in written[2].items() if n != "manifest.json"}


def test_the_manifest_names_runs_and_files(
    written: tuple[Path, Path, dict[str, bytes]],
) -> None:
    store, _, files = written
    manifest = json.loads(files["manifest.json"])
    for run in manifest["runs"]:
        content = (store / "cells" / run["cell_id"] / "result.json").read_bytes()
        assert run["digest"] == hashlib.sha256(content).hexdigest()
    assert len(manifest["runs"]) == 8
    assert manifest["files"] == {
        name: hashlib.sha256(content).hexdigest()
        for name, content in files.items()
        if name != "manifest.json"
    }
    assert manifest["command"] == "python -m analysis.report --seed 0"
    assert str(store).encode() not in b"".join(files.values())


def test_an_earlier_reports_files_go_and_others_stay(undrawn: None, tmp_path: Path) -> None:
    write_store(tmp_path / "store", **SMALL, lrs=[0.1], tables=["landscape"])
    first = report(tmp_path / "store", tmp_path / "out")
    own = tmp_path / "out" / "figures" / "mine.svg"
    own.write_text("keep")
    write_store(
        tmp_path / "other", **{**SMALL, "architectures": ["mlp"]}, lrs=[0.1], tables=["training"]
    )
    second = report(tmp_path / "other", tmp_path / "out")
    assert "figures/landscape_vgg_11.svg" in first
    assert not [name for name in second if "landscape" in name or "vgg" in name]
    assert own.read_text() == "keep"


def composed(study: Study) -> tuple[list[Sentence], dict[str, Number]]:
    basis = tables.TableInputs(study)
    made = tables.build_tables(basis)
    said = answers.build(basis, made)
    health = Health(tables.health(study), tables.totals(study), len(basis.study.runs))
    page = compose(study, health, made, [sheet(t) for t in made], said, [])
    cells = [cell.sentence for row in page.first.matrix.rows for cell in row.cells]
    first = [page.first.ran, *page.first.findings, *cells]
    return [*page.lead, *first, *page.health_sentences, *page.spoken()], page.numbers()


def test_every_number_of_the_prose_has_a_key(tmp_path: Path) -> None:
    write_store(tmp_path, stuck=[("none", 0.01, 0)], **SMALL)
    sentences, known = composed(load(str(tmp_path)))
    plain = [part for sentence in sentences for part in sentence if isinstance(part, str)]
    assert not re.search(r"\d", " ".join(plain))
    spoken = [part for sentence in sentences for part in sentence if isinstance(part, Number)]
    assert {part.key for part in spoken} == set(known)
    assert all(known[part.key] == part for part in spoken)  # one key, one value
    assert len(known) > 20


def test_results_hold_what_the_pages_say(
    written: tuple[Path, Path, dict[str, bytes]],
) -> None:
    files = written[2]
    results = json.loads(files["results.json"])
    said = re.findall(rb'<data value="[^"]*" title="([^"]+)">([^<]+)</data>', files["report.html"])
    assert len(said) > 20
    for key, text in said:
        assert results[key.decode()]["printed"] == text.decode()
    key = "answers/C1/vgg11(width=0.25)/steps_to_target/batch over none/batch/estimate"
    table = pd.read_csv(written[1] / "tables/table3_training.csv")
    batch = table.loc[table["normalizer"] == "batch", "steps_to_target"]
    assert results[key]["value"] == pytest.approx(batch.item())


def failing(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert main(list(arguments)) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1
    assert "Traceback" not in captured.err
    return captured.err


def test_bad_input_is_one_line(
    undrawn: None,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert "results: no sweep there" in failing(capsys)
    assert "nowhere: no sweep there" in failing(capsys, "--storage", "nowhere")
    store = tmp_path / "store"
    write_store(store, **SMALL)
    wrong = failing(capsys, "synthetik", "--storage", str(store))
    assert "did you mean 'synthetic'" in wrong
    (tmp_path / "file").write_text("")
    failing(capsys, "--storage", str(store), "--save", str(tmp_path / "file" / "saved"))
    said = failing(capsys, "one", "--from", "saved.study", "--strict")
    assert "leave out SWEEP, --strict" in said
    said = failing(capsys, "--from", "saved.study", "--against-storage", "s", "--against-plan", "1")
    assert "leave out --against-storage, --against-plan" in said
    assert "none.study: no such file" in failing(capsys, "--from", "none.study")


def test_nothing_finished_is_bad_input(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cells = [
        (name, lr, seed) for name in ("none", "batch") for lr in (0.01, 0.1) for seed in (0, 1)
    ]
    write_store(tmp_path, missing=cells, **SMALL)
    assert "synthetic: no finished cells (8 cells planned" in failing(
        capsys, "--storage", str(tmp_path)
    )


def test_strict_stops_at_a_damaged_file_that_else_is_listed(
    undrawn: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_store(tmp_path / "store", **SMALL, lrs=[0.1], tables=["training", "landscape"])
    damaged = next((tmp_path / "store" / "cells").glob("*/landscape.parquet"))
    damaged.write_bytes(b"not parquet")
    assert damaged.parent.name in failing(capsys, "--storage", str(tmp_path / "store"), "--strict")
    files = report(tmp_path / "store", tmp_path / "out")
    assert damaged.parent.name.encode() in files["report.html"]
    assert damaged.parent.name.encode() in files["report.md"]


def test_the_report_is_attached_to_every_sweep(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def write(study: Study, folder: Path, **_: object) -> None:
        folder.mkdir()
        (folder / "manifest.json").write_text("{}")
        (folder / "report.md").write_text("# It is faster.\n\n## Answers\n\nC1")
        printed = {"value": 2, "printed": "2"}
        (folder / "results.json").write_text(json.dumps({"health/ok": printed, "runs": printed}))

    attached: list[tuple[Any, ...]] = []
    looked: list[str] = []
    tracking = SimpleNamespace(
        attach_report=lambda *arguments: attached.append(arguments),
        refuse_copy=lambda _, name, store: looked.append(f"{name} {store.store_id}"),
        TrackingError=ValueError,
    )
    monkeypatch.setitem(sys.modules, "pipeline.tracking.client", tracking)
    monkeypatch.setattr("analysis.render.write.write", write)
    for sweep in ("one", "two"):
        write_store(tmp_path, **{**SMALL, "sweep": sweep})
    report(tmp_path, tmp_path / "out", "--tracking", "sqlite:///x.db")
    whose = Store(str(tmp_path)).store_id
    out = str(tmp_path / "out")
    summary = ("# It is faster.\n", {"cells/ok": 2.0})
    sweeps = ("one", "two")
    assert looked == [f"{name} {whose}" for name in sweeps]
    assert attached == [("sqlite:///x.db", name, out, whose, *summary) for name in sweeps]


def test_an_interrupt_is_130(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    write_store(tmp_path, **SMALL)
    monkeypatch.setattr("analysis.render.write.write", interrupt)
    assert main(["--storage", str(tmp_path), "--out", str(tmp_path / "out")]) == 130
    assert "interrupted" in capsys.readouterr().err


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys; from analysis.report.command import main\n"
        "try: main(['--help'])\n"
        "except SystemExit: pass\n"
        "heavy = {'numpy', 'pandas', 'matplotlib', 'mlflow', 'jinja2'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "examples:" in done.stdout
