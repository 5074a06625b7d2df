"""Words from which artists, albums and titles are put together."""


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


BANDS = (
    _words(
        "Amber Brittle Copper Distant Eleventh Feather Glass Hollow Indigo Juniper Kindred Lantern"
        " Marble Northern Orchard Paper Quiet Rusted Saffron Timber Umber Velvet Willow Zinc"
    ),
    _words(
        "Antlers Bridges Cartographers Drift Engines Ferry Gardens Harbour Islands Junction Keys"
        " Looms Meridian Notebook Observatory Parade Quarry Radio Signals Tides Union Valley"
        " Weather Yard"
    ),
)
TITLES = (
    _words(
        "After Against Almost Beneath Beyond Counting Every Finding Leaving Little Long Lost My"
        " Never One Other Seven Some Still The Three Toward Under Until Without Your"
    ),
    _words(
        "Autumn Blue Borrowed Broken Cold Crooked Early Empty Faded Golden Half Hidden Last Late"
        " Low Northbound Open Patient Plain Restless Second Silver Simple Slow Small Wild"
    ),
    _words(
        "Afternoon Answer Avenue Bicycle Ceiling Circuit Compass Corner Doorway Evening Fields"
        " Hours Kitchen Ladder Letter Machine Morning Mountain Postcard River Season Staircase"
        " Station Sunday Telephone Window Winter"
    ),
)
