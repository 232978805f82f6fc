// The sessions of the past: searched, filtered, each with its report.
import { make, say } from "./dom.js";
import { stateWords } from "./words.js";

const form = document.getElementById("search");
const found = document.getElementById("found");
const table = document.getElementById("rows");
const body = table.querySelector("tbody");
const more = document.getElementById("more");
const LABELS = ["Session", "Outcome", "Took", "Rig", "Who", "What", "Remarks", "Report"];

let asked = 0;
let shown = 0;
let waiting = 0;

async function look(offset) {
  const mine = ++asked;
  const query = new URLSearchParams([...new FormData(form)].filter(([, value]) => value));
  // What is looked for again stays as long as it was.
  query.set("offset", String(offset));
  if (!offset && shown) query.set("limit", String(shown));
  let answer;
  try {
    const response = await fetch(`/api/history?${query}`);
    answer = await response.json();
    if (!response.ok) throw new Error(answer.message);
  } catch (error) {
    if (mine === asked) say(found, `The history cannot be read: ${error.message}`);
    return;
  }
  if (mine === asked) show(answer, offset);
}

function show({ rows, number, all, subject, rig }, offset) {
  if (!offset) body.replaceChildren();
  body.append(...rows.map(row));
  shown = body.childElementCount;
  table.hidden = !shown;
  more.hidden = shown >= number;
  offer("subjects", subject);
  offer("rigs", rig);
  const sessions = (n) => (n === 1 ? "1 session" : `${n.toLocaleString("en")} sessions`);
  if (!all) say(found, "No session is known here yet. Each that ends on this computer is kept here, with a report.");
  else if (!number) say(found, `No session of ${all.toLocaleString("en")} is like that.`);
  else say(found, shown < number ? `${shown.toLocaleString("en")} of ${sessions(number)}, the newest first` : sessions(number));
}

function row(session) {
  const report = session.report
    ? make("a", { href: session.report, target: "_blank", rel: "noopener", "aria-label": `Report of ${session.session}` }, "Report")
    : make("span", { class: "dim" }, "–");
  const outcome = make("span", { class: "badge" }, stateWords(session.outcome));
  const texts = [session.session, outcome, session.took, session.rig, session.user, session.what, session.remarks, report];
  const cells = texts.map((text, place) => {
    const cell = make(place ? "td" : "th", place ? {} : { scope: "row" }, text);
    cell.dataset.label = LABELS[place];
    return cell;
  });
  const line = make("tr", {}, ...cells);
  line.dataset.state = session.outcome;
  return line;
}

function offer(list, values) {
  const options = values.filter(Boolean).map((value) => make("option", { value }));
  document.getElementById(list).replaceChildren(...options);
}

function lookSoon(ms) {
  clearTimeout(waiting);
  waiting = setTimeout(() => { shown = 0; look(0); }, ms);
}

/** Look again: a session has ended. What is shown stays as long as it was. */
export function refresh() {
  clearTimeout(waiting);
  waiting = setTimeout(() => look(0), 300);
}

form.addEventListener("input", () => lookSoon(250));
form.addEventListener("reset", () => lookSoon(0));
form.addEventListener("submit", (event) => {
  event.preventDefault();
  lookSoon(0);
});
more.addEventListener("click", () => look(shown));
