/** Files that come from outside: dropped on the page, or pasted. */

/**
 * Take them in.
 * @param {(file: File) => void} onFile
 * @param {() => void} onNone Something came that holds no file.
 */
export function takeFiles(onFile, onNone) {
  const curtain = document.getElementById("dropping");
  let depth = 0;
  const lift = () => {
    depth = 0;
    curtain.classList.remove("shown");
  };
  const holdsFiles = (event) => event.dataTransfer?.types.includes("Files");
  document.addEventListener("dragenter", (event) => {
    if (!holdsFiles(event)) return;
    depth += 1;
    curtain.classList.add("shown");
  });
  document.addEventListener("dragleave", () => --depth <= 0 && lift());
  document.addEventListener("dragover", (event) => holdsFiles(event) && event.preventDefault());
  document.addEventListener("drop", (event) => {
    if (!holdsFiles(event)) return;
    event.preventDefault();
    lift();
    give(event.dataTransfer.files);
  });
  document.addEventListener("paste", (event) => {
    if (event.clipboardData.files.length) give(event.clipboardData.files);
    else if (!event.target.closest("input, textarea")) onNone();
  });
  const give = ([file]) => (file ? onFile(file) : onNone());
}
