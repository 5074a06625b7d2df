/** The button that records: it shows the time and how loud it is. */

import { button } from "./dom.js";
import { record } from "./recorder.js";
import { clock } from "./time.js";

/**
 * Make the button.
 * @param {(file: File) => void} onFile
 * @param {(problem: Error) => void} onProblem
 */
export function createRecording(onFile, onProblem) {
  let running = null;
  const root = button("Record", { icon: "mic", key: "r", onclick: () => toggleRecording() });
  const label = root.querySelector("span");
  async function toggleRecording() {
    if (running) return running.stop();
    try {
      running = await record((ms, level) => {
        label.textContent = `Stop ${clock(ms)}`;
        root.style.setProperty("--level", level.toFixed(2));
      });
      root.classList.add("recording");
      onFile(await running.file);
    } catch (problem) {
      onProblem(problem);
    } finally {
      running = null;
      label.textContent = "Record";
      root.classList.remove("recording");
    }
  }
  return { root, toggle: toggleRecording };
}
