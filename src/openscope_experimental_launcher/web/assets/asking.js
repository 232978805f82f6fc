// Asking the person before something is done, and doing it.
import { make, say } from "./dom.js";

const dialog = document.getElementById("asking");
const part = (name) => document.getElementById(`asking-${name}`);

/**
 * Ask in a dialog. Returns what was typed (an empty text without a field), or null for a no.
 * @param {{title: string, words: string[], alarm?: string, field?: string, yes: string, no: string}} question
 */
export function ask({ title, words, alarm, field, yes, no }) {
  say(part("title"), title);
  const said = words.map((text) => make("p", {}, text));
  if (alarm) said.unshift(make("p", { class: "remark warning" }, make("strong", {}, alarm)));
  part("words").replaceChildren(...said);
  part("label").hidden = !field;
  say(part("label").querySelector("span"), field || "");
  part("text").value = "";
  say(part("yes"), yes);
  say(part("no"), no);
  dialog.returnValue = "no";
  dialog.showModal();
  part("no").focus(); // what is pressed without reading changes nothing
  return new Promise((answer) => {
    dialog.addEventListener(
      "close",
      () => answer(dialog.returnValue === "yes" ? part("text").value : null),
      { once: true },
    );
  });
}

// Enter in the field does not say yes to what cannot be taken back.
part("text").addEventListener("keydown", (event) => {
  if (event.key === "Enter") {
    event.preventDefault();
    part("yes").focus();
  }
});

let word = "";

/** The word that the program wants to hear with everything that changes something. */
export function learn(newWord) {
  word = newWord;
}

/** Have something done. Throws an error in plain words when it is not. */
export async function tell(path, what) {
  let answer;
  try {
    answer = await fetch(path, {
      method: "POST",
      headers: { "content-type": "application/json", "x-openscope-word": word },
      body: JSON.stringify(what),
    });
  } catch {
    throw new Error("The program that serves this page does not answer. Nothing was done.");
  }
  if (!answer.ok) {
    const said = await answer.json().catch(() => ({}));
    const message = said.message || `It was not done (${answer.status}).`;
    throw new Error(said.fix ? `${message} ${said.fix}` : message);
  }
}
