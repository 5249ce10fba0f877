"""The record at full scale: 5 million assets, 10 million annotations; load, open, page, edit, memory, freeze, flatness.

usage: bench_record.py [--assets N] [--keep DIR]    Drawn rows, no picture files. Disk: about 1 kB an asset.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from annotation.core import Annotation, Box, new_uid
from app.services import browse, labelling, versions, workspace
from app.services.workspace import Workspace
from storage import db as database
from storage import record
from storage.queries import Query
from storage.record import BATCH_ROWS, PAUSE_S, Content, Edit, ItemEdit

CHUNK = 10_000
LABELS = ("person", "helmet", "large_coal", "smoke")
ASSET_COLUMNS = (
    "uid", "kind", "blake3", "sha256", "size_bytes", "width_px", "height_px", "orientation", "media_type", "source_root_id",
    "path", "path_hash", "mtime_ns", "activity_id",
)  # fmt: skip


def asset_rows(
    first: int, n: int, root: int, activity: int, per_folder: int = 6_000
) -> list[tuple[object, ...]]:
    """Rows like those of ingest."""
    rng = random.Random(first)
    return [
        (bytes.fromhex(new_uid()), 0, rng.randbytes(32), rng.randbytes(32), 250_000, 1920, 1080, 1, "image/jpeg", root,
         f"综采面/{i // per_folder:04d}/KJ-07_{i:08d}.jpg", rng.getrandbits(63), 1_700_000_000_000_000_000 + i, activity)
        for i in range(first, first + n)
    ]  # fmt: skip


def contents(assets: range, numbers: list[int]) -> Iterator[Content]:
    """Two annotations an asset: a prediction and a human one; one in ten is a polygon."""
    rng = random.Random(assets.start)
    for asset in assets:
        for origin in (0, 1):
            x, y = rng.randrange(1_500_000), rng.randrange(800_000)
            polygon = (
                f"[[[{','.join(str(x + 977 * k % 90_000) for k in range(24))}]]]"
                if rng.random() < 0.1
                else None
            )
            yield Content(bytes.fromhex(new_uid()), asset, numbers[rng.randrange(4)], 2 if polygon else 0,
                          (x, y, x + 90_000, y + 200_000), polygon, None, rng.randrange(10**6) if origin else None, origin)  # fmt: skip


def build(
    folder: Path, n_assets: int, *, every: int = 1, per_folder: int = 6_000
) -> tuple[Workspace, float, int]:
    """A workspace of 248 datasets at most, filled through the record's own code. Returns (workspace, CPU seconds, rows).

    One asset in `every` has annotations; a folder holds `per_folder`.

    CPU seconds, here and in `raw_rate`: both are one thread without a wait, and other programs on the machine cancel out.
    """
    ws = workspace.create(str(folder), person="bench")
    with ws.db.write() as conn:
        activity = record.start_activity(conn, "ingest", ws.person.id, {}, open_=False)
        root = int(
            conn.exec_driver_sql(
                "INSERT INTO source_root (code, location) VALUES ('r', x'2f') RETURNING id"
            ).scalar_one()
        )
        data = int(
            conn.exec_driver_sql(
                "INSERT INTO dataset (uid, name, schema_code, created_ms) VALUES (x'00', 'face-3', 'coal_mine', 0) RETURNING id"
            ).scalar_one()
        )
        numbers = list(record.label_ids(conn, LABELS).values())
    started, rows = time.process_time(), 0
    for first in range(0, n_assets, CHUNK):
        n = min(CHUNK, n_assets - first)
        ids = range(first + 1, first + n + 1)
        with record.change(
            ws.db,
            agent_id=ws.person.id,
            activity_id=activity,
            verb="ingest",
            dataset_id=data,
            assets=ids,
            durable=False,
        ) as draft:
            database.insert(
                draft.conn, "asset", ASSET_COLUMNS, asset_rows(first, n, root, activity, per_folder)
            )
            draft.enrol([ItemEdit(data, a, opens=(0, 0)) for a in ids])
        with record.change(
            ws.db,
            agent_id=ws.person.id,
            activity_id=activity,
            verb="prelabel",
            dataset_id=data,
            assets=ids,
            durable=False,
        ) as draft:
            draft.annotate([Edit(opens=c) for c in contents(ids[::every], numbers)])
        rows += 2 * n + 2 * len(ids[::every])
    seconds = time.process_time() - started
    return ws, seconds, rows


def raw_rate(like: Path, folder: Path, n_assets: int) -> float:
    """Rows a second of plain sqlite3 executemany: the same rows, tables, indexes and transactions, nothing else done."""
    source = sqlite3.connect(like)
    statements = [
        r[0]
        for r in source.execute(
            "SELECT sql FROM sqlite_master WHERE sql NOT NULL AND tbl_name IN ('asset', 'item', 'annotation')"
        )
    ]
    source.close()
    conn = sqlite3.connect(folder / "raw.db", isolation_level=None)
    conn.execute(f"PRAGMA page_size={database.PAGE_BYTES}")
    for pragma in (
        "journal_mode=WAL",
        "synchronous=NORMAL",
        "cache_size=-65536",
        "mmap_size=268435456",
        "temp_store=MEMORY",
    ):
        conn.execute(f"PRAGMA {pragma}")
    for statement in statements:
        conn.execute(statement)
    spent, rows = 0.0, 0
    for first in range(0, n_assets, CHUNK):
        ids = range(first + 1, min(first + CHUNK, n_assets) + 1)
        assets = asset_rows(first, len(ids), 1, 1)
        items = [(1, a, 0, 0, 0, 0, 0, 1) for a in ids]
        notes = [
            (
                c.uid,
                c.asset_id,
                c.label_id,
                c.kind,
                *(c.box or ()),
                c.geometry,
                c.attributes,
                c.score_micro,
                c.origin,
                1,
                None,
                1,
            )
            for c in contents(ids, [1, 2, 3, 4])
        ]
        begin = time.process_time()
        for table, columns, values in (
            ("asset", ASSET_COLUMNS, assets), ("item", record._ITEM_COLUMNS, items), ("annotation", record._ANNOTATION_COLUMNS, notes),
        ):  # fmt: skip
            if table != "item":
                conn.execute("BEGIN IMMEDIATE")
            conn.executemany(
                f"INSERT INTO {table} ({','.join(columns)}) VALUES ({','.join('?' * len(columns))})", values
            )
            if table != "asset":
                conn.execute("COMMIT")
        spent += time.process_time() - begin
        rows += 4 * len(ids)
    conn.close()
    return rows / spent


def made_rate(n_assets: int) -> float:
    """Seconds a row that drawing the rows itself costs, so that it is not charged to the record."""
    begin = time.process_time()
    ids = range(1, n_assets + 1)
    asset_rows(0, n_assets, 1, 1)
    list(contents(ids, [1, 2, 3, 4]))
    return (time.process_time() - begin) / (4 * n_assets)


def quantile(values: list[float], q: float) -> float:
    """The q-quantile, in ms."""
    return 1000 * sorted(values)[min(len(values) - 1, int(q * len(values)))]


def pages(ws: Workspace, data: int, n_assets: int) -> list[float]:
    """Seconds of filtered pages of 200 pictures at random depth."""
    rng = random.Random(1)
    queries = [
        Query(data),
        Query(data, state="predicted"),
        Query(data, label="helmet"),
        Query(data, label="person", origin="model", min_score=0.5),
    ]
    out = []
    for i in range(400):
        after = rng.randrange(max(1, n_assets - 2000))
        begin = time.perf_counter()
        rows = browse.page(ws, queries[i % 4], after=after, limit=200)
        out.append(time.perf_counter() - begin)
        assert len(rows) == 200
    return out


def edits(
    ws: Workspace, n_assets: int, n: int, *, until: subprocess.Popen[bytes] | None = None
) -> list[float]:
    """Seconds from the gesture to its flushed commit, each on another page, at a person's 20 ms rhythm."""
    rng = random.Random(2)
    out = []
    for _ in range(n):
        page = labelling.load(ws, rng.randrange(1, n_assets + 1))
        moved = Annotation("person", Box(1, 2, 30, 40))
        begin = time.perf_counter()
        page = labelling.save(ws, page, (*page.annotations, moved), verb="draw")
        out.append(time.perf_counter() - begin)
        time.sleep(max(0.0, 0.02 - (time.perf_counter() - begin)))
        if until is not None and until.poll() is not None:
            raise RuntimeError("a job writer ended early")
    return out


def write_like_a_job(folder: str, kind: str) -> None:
    """Child process: pre-label or ingest batches without end, at the pace jobs keep."""
    ws = workspace.open(folder, person=f"bench-{kind}")
    with ws.db.write(durable=False) as conn:
        activity = record.start_activity(conn, kind, ws.person.id, {}, open_=False)
        numbers = list(record.label_ids(conn, LABELS).values())
        top = int(conn.exec_driver_sql("SELECT max(id) FROM asset").scalar_one())
    rng = random.Random(kind)
    print("ready", flush=True)
    parent = os.getppid()
    while os.getppid() == parent:
        if kind == "prelabel":
            start = rng.randrange(1, top - BATCH_ROWS)
            chosen = range(start, start + BATCH_ROWS // 2)
            with record.change(
                ws.db,
                agent_id=ws.person.id,
                activity_id=activity,
                verb=kind,
                dataset_id=1,
                assets=chosen,
                durable=False,
            ) as draft:
                draft.annotate([Edit(opens=c) for c in contents(chosen, numbers)])
        else:
            with record.change(
                ws.db, agent_id=ws.person.id, activity_id=activity, verb=kind, dataset_id=1, durable=False
            ) as draft:
                first = int(draft.conn.exec_driver_sql("SELECT max(id) FROM asset").scalar_one())
                database.insert(
                    draft.conn, "asset", ASSET_COLUMNS, asset_rows(first, BATCH_ROWS, 1, activity)
                )
                draft.enrol([ItemEdit(1, a, opens=(0, 0)) for a in range(first + 1, first + BATCH_ROWS + 1)])
        time.sleep(PAUSE_S)


def resident_mb() -> float:
    """Resident memory of this process now, files mapped by SQLite included, in MB."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


def measure(folder: Path, n_assets: int) -> dict[str, float]:
    """Every figure of one size, read by a fresh process (this one), in ms unless said."""
    begin = time.perf_counter()
    ws = workspace.open(str(folder), person="bench")
    browse.datasets(ws)
    opened = time.perf_counter() - begin
    data = browse.datasets(ws)[0].id
    page = pages(ws, data, n_assets)
    calm = edits(ws, n_assets, 200)
    print(f"  pages and calm edits done, resident {resident_mb():.0f} MB", flush=True)
    jobs = [
        subprocess.Popen(
            [sys.executable, __file__, "--job", kind, "--keep", str(folder)], stdout=subprocess.PIPE
        )
        for kind in ("prelabel", "ingest")
    ]
    try:
        for job in jobs:
            assert job.stdout
            job.stdout.readline()
        busy = edits(ws, n_assets, 400, until=jobs[0])
    finally:
        for job in jobs:
            job.kill()
            job.communicate()
    begin = time.perf_counter()
    versions.freeze(ws, browse.datasets(ws)[0].name, tag=f"bench-{new_uid()[:12]}")
    frozen = time.perf_counter() - begin
    resident = resident_mb()
    ws.close()
    return {
        "open": 1000 * opened, "page p50": quantile(page, 0.5), "page p99": quantile(page, 0.99),
        "edit p50": quantile(calm, 0.5), "edit p99": quantile(calm, 0.99),
        "busy edit p50": quantile(busy, 0.5), "busy edit p99": quantile(busy, 0.99),
        "freeze pin": 1000 * frozen, "resident MB": resident,
    }  # fmt: skip


def bar(name: str, measured: float, wanted: str, fine: bool) -> bool:
    """One line a bar."""
    print(f"BAR {name}: {measured:.2f} (wanted {wanted}) {'ok' if fine else 'MISSED'}", flush=True)
    return fine


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--assets", type=int, default=5_000_000)
    parser.add_argument("--keep", type=Path)
    parser.add_argument("--job")
    args = parser.parse_args()
    if args.job:
        write_like_a_job(str(args.keep), args.job)
        return 0
    base = args.keep or Path(tempfile.mkdtemp(prefix="lamproom-bench-"))
    base.mkdir(parents=True, exist_ok=True)
    print(
        f"machine: {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, Python {sys.version.split()[0]}, SQLite {sqlite3.sqlite_version}"
    )
    fine = True
    try:
        own = made_rate(20_000)
        figures = {}
        for n in (50_000, args.assets):
            folder = base / f"w{n}"
            if not folder.exists():
                ws, seconds, rows = build(folder, n)
                ws.close()
                rate = rows / (seconds - own * rows)
                sample = min(n, 200_000) if n == 50_000 else n
                (base / "raw.db").unlink(missing_ok=True)
                raw = raw_rate(folder / "record.db", base, sample)
                for leftover in base.glob("raw.db*"):
                    leftover.unlink()
                print(
                    f"{n} assets, {2 * n} annotations: {rate:,.0f} rows a CPU second, raw executemany of the same rows and indexes {raw:,.0f}"
                )
                if n == args.assets:  # the bar is set at full scale; the small size is the base of "flat"
                    fine &= bar(f"load {n}", rate / raw, ">= 0.5 of raw", rate >= 0.5 * raw)
                figures[n] = {"load us/row": 1e6 / rate}
            else:
                figures[n] = {}
            figures[n] |= measure(folder, n)
            print(f"{n} assets: " + ", ".join(f"{k} {v:.2f}" for k, v in figures[n].items()), flush=True)
        big, small = figures[args.assets], figures[50_000]
        fine &= bar("open ms", big["open"], "<= 1000", big["open"] <= 1000)
        fine &= bar("filtered page p99 ms", big["page p99"], "<= 20", big["page p99"] <= 20)
        fine &= bar("edit p50 ms", big["edit p50"], "<= 10", big["edit p50"] <= 10)
        fine &= bar(
            "edit p99 ms beside a pre-label job and an ingest",
            big["busy edit p99"],
            "<= 50",
            big["busy edit p99"] <= 50,
        )
        fine &= bar("resident MB", big["resident MB"], "<= 400", big["resident MB"] <= 400)
        fine &= bar("freeze pin ms", big["freeze pin"], "<= 1000", big["freeze pin"] <= 1000)
        for key in ("page p50", "edit p50", "busy edit p50", "load us/row"):
            if key in big and key in small:
                ratio = big[key] / small[key]
                fine &= bar(f"{key}, {args.assets} against 50000 assets", ratio, "<= 2", ratio <= 2)
    finally:
        if args.keep is None:
            shutil.rmtree(base)
    return 0 if fine else 1


if __name__ == "__main__":
    raise SystemExit(main())
