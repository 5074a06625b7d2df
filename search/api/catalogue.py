"""What the catalogue is: its facets, its map, and the model that hears it."""

from fastapi import APIRouter, Depends

from search.api.models import (
    PREFIX,
    ActiveVersion,
    CatalogueMap,
    Facet,
    FacetLists,
    Point,
    problems,
)
from search.api.problems import Problem
from search.api.services import Given, RequireRole, Services
from search.catalogue import ActiveModel, describe_active, list_facets
from search.map import list_map_points

router = APIRouter(prefix=PREFIX, tags=["catalogue"], dependencies=[Depends(RequireRole("listen"))])


@router.get("/facets", responses=problems())
def get_facets(services: Given) -> FacetLists:
    """List what there is to filter by, with the number of tracks of each."""
    found = vars(list_facets(services.database))
    return FacetLists(
        **{
            facet: [Facet(name=name, tracks=tracks) for name, tracks in rows]
            for facet, rows in found.items()
        }
    )


@router.get("/models/active", responses=problems())
def get_active_model(services: Given) -> ActiveVersion:
    """Tell which model answers."""
    found = _active(services)
    return ActiveVersion(
        version=found.version,
        since=found.since,
        name=found.name,
        metrics={
            "segments": found.segments,
            "tracks": found.tracks,
            "recall": found.recall,
            "trustworthiness": found.trustworthiness,
        },
    )


@router.get("/map", responses=problems())
def get_map(services: Given) -> CatalogueMap:
    """Lay the catalogue out in two dimensions."""
    found = _active(services)
    points = list_map_points(services.database, found.version)
    return CatalogueMap(
        model_version=found.version,
        trustworthiness=found.trustworthiness,
        points=[Point.model_validate(point) for point in points],
    )


def _active(services: Services) -> ActiveModel:
    found = describe_active(services.database)
    if found is None:
        raise Problem(
            503, "no_active_model", "No model is active yet: run the pipeline (make pipeline)."
        )
    return found
