"""What Dagster loads, against a table that people can read."""

import subprocess
import sys

import dagster as dg

from orchestration.definitions import defs
from orchestration.partitions import BUCKETS

GRAPH = defs.resolve_asset_graph()

# asset: (group, its dependencies, kinds, whether it is done by bucket)
EXPECTED = {
    "catalog": ("catalogue", "", "pandas parquet", False),
    "tracks": ("catalogue", "catalog", "pandas parquet", False),
    "clips": ("catalogue", "tracks", "numpy parquet", True),
    "baseline_model": ("modelling", "clips tracks", "mlflow scikitlearn", False),
    "candidate_model": ("modelling", "clips tracks", "mlflow pytorch", False),
    "evaluation": (
        "modelling",
        "baseline_model candidate_model clips tracks",
        "mlflow numpy",
        False,
    ),
    "production_model": ("modelling", "evaluation", "mlflow", False),
    "embeddings": ("serving", "clips production_model tracks", "postgres pytorch", True),
    "index": ("serving", "embeddings", "postgres", False),
    "active_model": ("serving", "index", "postgres", False),
}
DESCRIPTIONS = {
    "catalog": "The manifest's usable rows; rejected rows are set aside with a reason.",
    "tracks": "Each track with its bucket and split, both decided by a hash of its id.",
    "clips": "Each track once as 16 kHz mono int16, and ten seeded positions of ten seconds in it.",
    "baseline_model": "What the ConvNet has to beat: MFCC statistics decorrelated by PCA on "
    "training tracks.",
    "candidate_model": "The candidate: a ConvNet trained by competing triplet terms on transformed "
    "clips.",
    "evaluation": "Table 1: mAP of the random, baseline and ConvNet encoders and of the one in "
    "production.",
    "production_model": "The registered model version that carries the alias `production`.",
    "embeddings": "A unit vector of 128 for ten seconds every five of each track, under the "
    "model's version.",
    "index": "The HNSW index over the production version's embeddings, its recall measured.",
    "active_model": "The version that everyone queries, changed in one transaction.",
}
CHECKS = {
    "catalog": "rejected_rows_under_limit",
    "tracks": "split_proportions",
    "clips": "clip_completeness",
    "evaluation": "map_gate",
    "index": "index_recall",
}
CLIPS_READ = {"baseline_model": (0, 79), "candidate_model": (0, 89), "evaluation": (80, 99)}


def test_assets_are_the_ones_of_the_table() -> None:
    found = {}
    for key in GRAPH.get_all_asset_keys():
        asset = GRAPH.get(key)
        parents = sorted(parent.to_user_string() for parent in asset.parent_keys)
        kinds = " ".join(sorted(asset.kinds))
        row = (asset.group_name, " ".join(parents), kinds, asset.is_partitioned)
        found[key.to_user_string()] = row
    assert found == EXPECTED


def test_assets_say_what_they_are() -> None:
    found = {}
    for key in GRAPH.get_all_asset_keys():
        description = GRAPH.get(key).description or ""
        found[key.to_user_string()] = " ".join(description.partition("\n\n")[0].split())
    assert found == DESCRIPTIONS


def test_assets_have_owners_and_code_versions() -> None:
    for key in GRAPH.get_all_asset_keys():
        assert GRAPH.get(key).owners == ["team:data"], key
        assert GRAPH.get(key).code_version, key


def test_checks_block_what_follows() -> None:
    found = {}
    for key in GRAPH.asset_check_keys:
        assert GRAPH.get(key).blocking, key
        found[key.asset_key.to_user_string()] = key.name
    assert found == CHECKS


def test_buckets_are_a_hundred_done_in_one_run() -> None:
    assert list(BUCKETS.get_partition_keys()) == [f"{bucket:02d}" for bucket in range(100)]
    for key in GRAPH.get_all_asset_keys():
        asset = GRAPH.get(key)
        if asset.is_partitioned:
            assert asset.partitions_def == BUCKETS
            assert asset.backfill_policy == dg.BackfillPolicy.single_run()


def test_models_depend_on_the_clips_of_their_splits() -> None:
    clips = dg.AssetKey("clips")
    for name, (first, last) in CLIPS_READ.items():
        mapping = GRAPH.get(dg.AssetKey(name)).partition_mappings[clips]
        assert isinstance(mapping, dg.SpecificPartitionsPartitionMapping)
        keys = list(mapping.partition_keys)
        assert keys == [f"{bucket:02d}" for bucket in range(first, last + 1)]
        assert len(keys) < 100, "a hundred would switch staleness tracking off"


def test_definitions_load_without_the_heavy_libraries() -> None:
    code = "import sys, orchestration.definitions; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "dagster" in done.stdout.split()
    heavy = {"torch", "mlflow", "librosa", "psycopg", "pandera", "matplotlib"}
    assert not heavy & set(done.stdout.split())
