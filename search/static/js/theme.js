// Loaded before anything is painted, so that a chosen theme never flashes.
const chosen = localStorage.getItem("soundalike.theme");
if (chosen) document.documentElement.dataset.theme = chosen;
